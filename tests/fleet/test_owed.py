import shutil
from pathlib import Path

import pytest
from fleet.places import put_here, put_on
from made_runs import make_run

from rlmaster.fleet.owed import (
    is_owed,
    owe,
    owe_if_elsewhere,
    owed,
    settle,
    wake_watcher,
    watch_lock,
)
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import RunLock
from rlmaster.run_status import State, Status

RUNNING = Status(State.RUNNING, host="office")


@pytest.fixture
def runs(tmp_path: Path, own_locks: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(runs: Path) -> RunFolder:
    made = make_run(runs)
    put_on(made)
    made.write_status(RUNNING)
    return made


def paths(found: list[RunFolder]) -> list[Path]:
    return [run.path for run in found]


def test_a_run_is_owed_until_it_is_settled(runs, run):
    assert owed(runs) == []
    owe(run)
    owe(run)
    assert paths(owed(runs)) == [run.path]
    assert is_owed(run)
    settle(run)
    settle(run)
    assert owed(runs) == []
    assert not is_owed(run)


def test_a_deleted_run_is_owed_no_more(runs, run):
    owe(run)
    shutil.rmtree(run.path)
    assert owed(runs) == []
    assert not is_owed(run)


def test_a_run_that_is_just_being_made_keeps_its_marker(runs):
    being_made = RunFolder.reserve(runs, "pong")
    with RunLock(being_made.id) as lock:
        assert lock.take()
        owe(being_made)
        assert owed(runs) == []
        assert is_owed(being_made)
    assert owed(runs) == []  # the launch is gone, and left nothing
    assert not is_owed(being_made)


@pytest.mark.parametrize("place", ["../../etc/20260101-000000-abcdef", "a/b/c", "", "pong/other"])
def test_a_marker_that_leads_elsewhere_is_removed(runs, run, place):
    owe(run)
    marker = runs / ".state" / "elsewhere" / f"{run.id}.json"
    marker.write_text(f'{{"run_folder": "{place}"}}')
    assert owed(runs) == []
    assert not marker.exists()


def test_a_live_run_elsewhere_gets_back_a_marker_that_was_lost(run):
    assert owe_if_elsewhere(run)
    assert is_owed(run)


def test_a_run_that_has_ended_elsewhere_or_is_made_here_gets_none(run, runs):
    run.write_status(Status(State.COMPLETED))
    assert owe_if_elsewhere(run)
    assert not is_owed(run)
    here, guest = make_run(runs, run_id="20260101-000000-aaaaaa"), make_run(runs, "guest")
    put_here(guest)
    assert not owe_if_elsewhere(here)
    assert not owe_if_elsewhere(guest)
    assert owed(runs) == []


def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the projects for which a watcher was started, as that happens."""
    projects: list[Path] = []
    monkeypatch.setattr("rlmaster.fleet.owed.start_watcher", projects.append)
    return projects


def test_a_watcher_is_started_only_where_something_is_owed_and_nobody_watches(
    runs, run, monkeypatch
):
    projects = started(monkeypatch)
    wake_watcher(runs)
    assert projects == []
    owe(run)
    with watch_lock(runs) as lock:
        assert lock.take()
        wake_watcher(runs)
        assert projects == []
    wake_watcher(runs)
    assert projects == [runs.parent]
