from itertools import product

import pytest

from rlmaster.errors import RunFolderError
from rlmaster.run_status import State, Status

ALLOWED = {
    "prepared": {"queued", "running", "failed", "stopped"},
    "queued": {"running", "failed", "stopped"},
    "running": {"completed", "failed", "stopped", "lost"},
    "completed": set(),
    "failed": set(),
    "stopped": set(),
    "lost": set(),
}


@pytest.mark.parametrize(("before", "after"), list(product(ALLOWED, ALLOWED)))
def test_states_go_one_way(before, after):
    status = Status(State(before), attempt=2, slot="cpu:0", since="then")
    if after not in ALLOWED[before]:
        with pytest.raises(RunFolderError, match=f"{before} cannot become {after}"):
            status.enter(State(after))
        return

    entered = status.enter(State(after), reason="so")

    assert (entered.state, entered.attempt, entered.slot) == (State(after), 2, "cpu:0")
    assert entered.reason == "so"
    assert "then" not in (entered.since, entered.heartbeat)
    assert "" < entered.since <= entered.heartbeat


@pytest.mark.parametrize("state", list(State))
def test_only_what_ended_short_of_its_goal_goes_on(state):
    status = Status(state, attempt=2, slot="cpu:0", reason="so", answered=("a",), exit_code=1)
    if state not in (State.STOPPED, State.FAILED, State.LOST):
        with pytest.raises(RunFolderError, match=f"{state} cannot be resumed"):
            status.next_attempt("here")
        return

    again = status.next_attempt("here")

    assert (again.state, again.attempt, again.host) == (State.QUEUED, 3, "here")
    assert (again.slot, again.reason, again.answered, again.exit_code) == ("", "", (), None)


def test_a_status_comes_back_from_json_and_passes_over_what_it_does_not_know():
    status = Status(State.FAILED, 3, "then", "now", "cpu:0", exit_code=1, answered=("a", "b"))
    assert Status.from_data({**status.to_data(), "of_a_later_version": 1}) == status
    assert Status.from_data({"state": "of a later version"}) is None
    assert Status.from_data({"state": "running", "answered": 3}) == Status(State.RUNNING)
