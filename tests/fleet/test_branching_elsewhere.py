"""Branches of runs, wherever these were made and wherever those go."""

import pytest
import quick_training
from launches import EARLIER, NEWEST, await_end, keep, launched, made, there

from rlmaster.run_folder import RunFolder

pytestmark = pytest.mark.system
MORE = ("--set", "training.updates=30")


def ended_run(rlmaster, hosts, where: str) -> tuple[RunFolder, RunFolder]:
    """Return a run that was made somewhere: its folder here, and that of the place."""
    run = launched(rlmaster, host=where)
    place = there(hosts[where], run) if where in hosts else run
    quick_training.words(place)
    keep(place)
    quick_training.end(place)
    await_end(run)
    return run, place


def goes_on(rlmaster, hosts, run: RunFolder, where: str, *arguments: str) -> RunFolder:
    """Branch from a run to somewhere, and return the new run's folder there."""
    new = made(
        *(rlmaster, "branch", str(run.path), "--rationale", "more", "--host", where),
        *(*MORE, *arguments),
    )
    assert new.run()["parents"] == [run.id]
    place = there(hosts[where], new) if where in hosts else new
    quick_training.words(place)
    return place


def same_content(one: RunFolder, other: RunFolder, checkpoint: str = NEWEST) -> bool:
    """Tell whether a run begins with what another one has kept, and with no other checkpoint."""
    assert [path.name for path in other.checkpoint_folders()] == [checkpoint]
    return all(
        (one.path / name).read_bytes() == (other.path / name).read_bytes()
        for name in (f"checkpoints/{checkpoint}/state.pt", "replay/chunk-000000")
    )


def test_on_the_same_host_no_byte_travels(rlmaster, hosts):
    run, place = ended_run(rlmaster, hosts, "office")

    new = goes_on(rlmaster, hosts, run, "office")

    assert same_content(place, new)
    assert (new.replay / "chunk-000000").samefile(place.replay / "chunk-000000")
    assert not run.replay.exists()


@pytest.mark.parametrize("where", ["attic", "local"])
def test_from_a_host_to_another_place(rlmaster, hosts, where):
    run, place = ended_run(rlmaster, hosts, "office")

    new = goes_on(rlmaster, hosts, run, where)

    assert same_content(place, new)


def test_from_here_to_a_host(rlmaster, hosts):
    run, place = ended_run(rlmaster, hosts, "local")

    new = goes_on(rlmaster, hosts, run, "office")

    assert same_content(place, new)


def test_the_best_checkpoint_of_a_run_elsewhere(rlmaster, hosts):
    run, place = ended_run(rlmaster, hosts, "office")

    new = goes_on(rlmaster, hosts, run, "office", "--from", "best")

    assert same_content(place, new, EARLIER)


def test_a_checkpoint_that_a_run_elsewhere_has_not_is_said(rlmaster, hosts):
    run, _ = ended_run(rlmaster, hosts, "office")
    given = ("--rationale", "more", "--host", "office", "--yes", "--detach")

    done = rlmaster("branch", str(run.path), *given, *MORE, "--from", "update-$(touch x)")

    assert done.returncode == 2
    assert "has no whole checkpoint 'update-$(touch x)'; there are: " in done.stderr
    assert NEWEST in done.stderr
