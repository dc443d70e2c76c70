"""The watcher without a host that answers; with hosts, see test_watching.py."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fleet.places import put_here, put_on
from made_runs import make_run
from waiting import wait_until

from rlmaster.durable_files import utc_now
from rlmaster.fleet.happenings import Happening, HostSeen
from rlmaster.fleet.owed import is_owed, owe
from rlmaster.fleet.watch import Watcher, is_wanted, sole_watch
from rlmaster.hosts.reachability import unreachable_since
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State, Status

NO_OFFICE = '[hosts.cellar]\nkind = "ssh"\n'


@pytest.fixture
def run(project: Path, own_locks: Path) -> RunFolder:
    """A run on a host that hosts.toml does not name, and of which something is to come."""
    (project / "hosts.toml").write_text(NO_OFFICE)
    made = make_run(project / "runs")
    put_on(made, "office")
    made.write_status(Status(State.RUNNING, host="office", since=utc_now()))
    owe(made)
    return made


@contextmanager
def watching(project: Path) -> Iterator[list[Happening]]:
    """Watch in a thread until the block is left; give what happens."""
    seen: list[Happening] = []
    watcher = Watcher(Project(project), tell=seen.append)
    thread = threading.Thread(target=watcher.watch)
    thread.start()
    try:
        yield seen
    finally:
        watcher.stop()
        thread.join(20)
        assert not thread.is_alive()


def test_a_host_that_nobody_knows_is_out_of_reach_and_its_runs_stay_owed(project, run):
    with watching(project) as seen:
        wait_until(lambda: seen)
    (told,) = seen
    assert isinstance(told, HostSeen)
    assert not told.reachable
    assert "hosts.toml" in told.reason
    assert unreachable_since(project / "runs", "office")
    assert is_owed(run)


def test_one_that_shows_nothing_ends_where_only_such_hosts_owe_something(project, run, monkeypatch):
    monkeypatch.setattr("rlmaster.fleet.watch.PATIENCE_S", 0.0)
    watcher = Watcher(Project(project))
    watcher.watch(until_settled=True)
    assert watcher.is_out_of_reach(run)
    assert is_owed(run)  # for whoever names the host again


def test_what_has_ended_on_such_a_host_is_written_up_and_then_settled(project, run):
    run.write_status(Status(State.FAILED, reason="because", since=utc_now()))

    Watcher(Project(project)).watch(until_settled=True)

    assert run.report_tex.exists()
    assert not is_owed(run)


def test_while_hosts_toml_is_not_valid_nothing_is_settled(project, run):
    (project / "hosts.toml").write_text("[hosts.office")
    run.write_status(Status(State.FAILED, reason="because", since=utc_now()))
    seen: list[Happening] = []
    looks: list[bool] = []

    def has_looked_again() -> bool:
        looks.append(run.report_tex.exists())
        return sum(looks) > 3

    Watcher(Project(project), tell=seen.append).watch(leave_when=has_looked_again)

    assert "hosts.toml" in seen[0].to_data()["reason"]
    assert is_owed(run)
    (project / "hosts.toml").write_text(NO_OFFICE)
    Watcher(Project(project)).watch(until_settled=True)
    assert not is_owed(run)


def test_a_run_that_came_here_is_owed_no_more(project, run):
    put_here(run)
    Watcher(Project(project)).watch(until_settled=True)
    assert not is_owed(run)


def test_one_process_watches_and_one_that_shows_something_takes_over(project, own_locks):
    runs = project / "runs"
    with sole_watch(runs, quiet=True) as is_ours:
        assert is_ours
        with sole_watch(runs, quiet=True) as is_another:
            assert not is_another
    with sole_watch(runs, quiet=False) as is_ours:
        assert is_ours
        with sole_watch(runs, quiet=False) as is_another:
            assert not is_another
        assert not is_wanted(runs)

    def hold_quietly() -> None:
        with sole_watch(runs, quiet=True):
            is_held.set()
            wait_until(lambda: is_wanted(runs))

    is_held = threading.Event()
    holder = threading.Thread(target=hold_quietly)
    holder.start()
    assert is_held.wait(20)
    with sole_watch(runs, quiet=False) as is_ours:
        assert is_ours
    holder.join(20)
    assert not is_wanted(runs)
