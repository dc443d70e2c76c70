import os
import platform
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from fleet.places import put_here, put_on
from made_runs import make_run

from rlmaster.events import Event, append_event, event
from rlmaster.follower import Follower, finish
from rlmaster.hosts.reachability import note_reachable, note_unreachable
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_lock import HostLock, RunLock, boot_id, lock_folder
from rlmaster.run_status import State, Status


@pytest.fixture
def run(tmp_path, own_locks) -> RunFolder:
    """A run that claims to run."""
    made = make_run(tmp_path / "runs", rationale="Because.\nAnd more.")
    made.write_status(here(State.RUNNING))
    return made


def here(state: State, **changes: str) -> Status:
    """Return the status that a worker on this computer would have written."""
    where = {"host": platform.node(), "boot_id": boot_id(), **changes}
    return Status(state, attempt=1, **where)


@pytest.fixture
def locked(run):
    """Hold the run's lock, as its worker does."""
    lock = RunLock(run.id)
    assert lock.take()
    yield
    lock.close()


# ------------------------------------------------------------------------------------- following


def test_who_follows_a_lost_run_is_told(run):
    (told,) = Follower(run).look().events
    assert told.kind == "lost"
    assert "killed" in told.message


@pytest.mark.usefixtures("locked")
def test_each_event_is_seen_once_and_in_order(run):
    watching = Follower(run)
    append_event(run.training_events, Event("note", "second", time="2026-01-01T10:00:02"))
    append_event(run.worker_events, Event("started", "first", time="2026-01-01T10:00:01"))
    run.write_progress(Progress(phase="training", step=3))

    update = watching.look()

    assert [happened.message for happened in update.events] == ["first", "second"]
    assert update.progress.step == 3
    assert watching.look().events == []
    append_event(run.worker_events, event("note", "third"))
    assert [happened.message for happened in watching.look().events] == ["third"]


def test_following_ends_with_the_run_and_misses_nothing(run, monkeypatch):
    lock = RunLock(run.id)
    assert lock.take()
    seen: list[str] = []
    for update in Follower(run).updates():
        seen += [happened.kind for happened in update.events]
        if len(seen) == 0:
            append_event(run.worker_events, event("started", "go"))
        elif update.status.state is State.RUNNING:
            append_event(run.worker_events, event("finished", "done"))
            run.write_status(update.status.enter(State.COMPLETED))
    lock.close()

    assert seen == ["started", "finished"]


# -------------------------------------------------------------------------------------- the end


def test_a_run_that_kept_nothing_still_comes_to_an_end(run, tmp_path):
    run.write_status(Status(State.FAILED, attempt=1, reason="killed"))

    ending = finish(run, tmp_path / "runs")

    assert ending.standing == ""
    assert ending.video is None


def test_a_report_that_cannot_be_made_is_a_note(run, tmp_path, monkeypatch):
    from rlmaster.errors import ReportError
    from rlmaster.reports import latex

    def fail(*_arguments: object, **_options: object) -> None:
        raise ReportError("the disk is full")

    monkeypatch.setattr(latex, "make_report", fail)
    run.write_status(Status(State.FAILED, attempt=1))

    ending = finish(run, tmp_path / "runs")

    assert (ending.tex, ending.pdf, ending.note) == (None, None, "the disk is full")


@pytest.mark.usefixtures("locked")
def test_nobody_follows_what_is_gone(run):
    updates = Follower(run).updates()
    assert next(updates).status.state is State.RUNNING
    shutil.rmtree(run.path)
    assert list(updates) == []


def test_a_report_is_made_once_for_an_ending_unless_it_is_asked_for(run, tmp_path):
    run.write_status(here(State.FAILED))
    first = finish(run, tmp_path / "runs", anew=False)
    assert first.tex == run.report_tex
    made = run.report_tex.stat().st_ino

    assert finish(run, tmp_path / "runs", anew=False).tex == first.tex
    assert run.report_tex.stat().st_ino == made
    finish(run, tmp_path / "runs")
    assert run.report_tex.stat().st_ino != made

    made = run.report_tex.stat().st_ino
    os.utime(run.status_file)  # as if the next attempt had ended
    finish(run, tmp_path / "runs", anew=False)
    assert run.report_tex.stat().st_ino != made


def test_a_report_that_somebody_else_makes_is_waited_for(run, tmp_path):
    run.write_status(here(State.FAILED))
    with HostLock(lock_folder() / f"{run.id}.report") as lock, ThreadPoolExecutor() as pool:
        assert lock.take()
        waiting = pool.submit(finish, run, tmp_path / "runs", anew=False)
        run.report.mkdir()
        run.report_tex.write_text("theirs")
        os.utime(run.report_tex, (2e9, 2e9))
        lock.close()
        lock.handle = os.open(os.devnull, os.O_RDONLY)  # what the block closes
        ending = waiting.result(20)
    assert (ending.tex, ending.pdf) == (run.report_tex, None)
    assert run.report_tex.read_text() == "theirs"
    assert f"`rlmaster report {run.short_id}` says why" in ending.note


# ---------------------------------------------------------------------- on other computers


@pytest.fixture
def elsewhere(run) -> RunFolder:
    """A run that a host of another name claims to be making."""
    put_on(run, "office")
    run.write_status(Status(State.RUNNING, host="office", boot_id=boot_id()))
    return run


def test_a_run_elsewhere_is_left_alone_and_shown_with_its_host(elsewhere):
    update = Follower(elsewhere).look()

    assert update.status.state is State.RUNNING  # although its lock is free here
    assert update.host == "office"
    assert update.unreachable == ""
    assert update.ahead is None


def test_who_follows_a_run_elsewhere_is_told_that_nothing_comes_from_there(elsewhere):
    runs = elsewhere.path.parent.parent
    note_unreachable(runs, "office", "it does not answer")

    assert re.fullmatch(
        r"office unreachable since \d\d:\d\d[:;] it does not answer",
        Follower(elsewhere).look().unreachable,
    )
    note_reachable(runs, "office")
    assert Follower(elsewhere).look().unreachable == ""


def test_a_guest_is_followed_like_any_run_of_this_computer(run):
    put_here(run)

    update = Follower(run).look()

    assert update.status.state is State.LOST
    assert update.host == ""
