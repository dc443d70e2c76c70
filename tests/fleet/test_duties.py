import pytest
from fleet.places import put_here, put_on
from made_runs import make_run

from rlmaster.fleet.duties import Duty, duty, hosts_of
from rlmaster.placement import Left
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State, Status

CELLAR = Left("cellar", "/root/rlmaster-workspace/runs/pong/x", 1)


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return make_run(tmp_path / "runs")


@pytest.mark.parametrize(
    ("state", "due"),
    [
        (State.PREPARED, Duty.HAND_OVER),
        (State.QUEUED, Duty.MIRROR),
        (State.RUNNING, Duty.MIRROR),
        (State.COMPLETED, Duty.GATHER),
        (State.FAILED, Duty.GATHER),
        (State.STOPPED, Duty.GATHER),
        (State.LOST, Duty.GATHER),
    ],
)
def test_what_is_due_follows_from_the_state(run, state, due):
    put_on(run, "office")
    run.write_status(Status(state))
    assert duty(run, "office") is due
    assert duty(run, "cellar") is Duty.NOTHING
    assert hosts_of(run) == {"office"}


def test_a_place_that_was_given_up_is_told_so_before_all_else(run):
    put_on(run, "office", left=(CELLAR,))
    run.write_status(Status(State.RUNNING, attempt=2))
    assert duty(run, "cellar") is Duty.RELEASE
    assert duty(run, "office") is Duty.MIRROR
    assert hosts_of(run) == {"office", "cellar"}


def test_a_run_that_came_here_asks_only_what_it_left(run):
    put_here(run, left=(CELLAR,))
    assert duty(run, "office") is Duty.NOTHING
    assert duty(run, "cellar") is Duty.RELEASE
    assert hosts_of(run) == {"cellar"}


def test_a_run_without_a_placement_asks_nothing(run):
    assert duty(run, "office") is Duty.NOTHING
    assert hosts_of(run) == set()
