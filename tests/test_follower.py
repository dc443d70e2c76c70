import platform

import pytest
from made_runs import make_run

from rlmaster.events import Event, append_event, event
from rlmaster.follower import Follower, finish
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_lock import RunLock, boot_id
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
