import platform
from datetime import timedelta

import pytest

from rlmaster import follower
from rlmaster.events import Event, append_event, event
from rlmaster.follower import Follower, announce, finish, mark_if_lost
from rlmaster.notify import Delivery
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_lock import RunLock, boot_id
from rlmaster.run_status import State, Status


@pytest.fixture
def run(tmp_path, own_locks) -> RunFolder:
    """A run that claims to run."""
    made = RunFolder.create(
        tmp_path / "runs",
        config={"name": "pong"},
        rationale="Because.\nAnd more.",
        provenance={},
        digests={},
        differs_from_default=[],
    )
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


@pytest.fixture
def notices(monkeypatch) -> list[tuple[str, str]]:
    """What the desktop would be told: title and body."""
    told: list[tuple[str, str]] = []

    def keep(title: str, body: str, _severity: object) -> Delivery:
        told.append((title, body))
        return Delivery(True)

    monkeypatch.setattr(follower, "notify_desktop", keep)
    return told


# ----------------------------------------------------------------------------------------- lost


def test_a_run_whose_lock_is_free_is_lost(run):
    status = mark_if_lost(run)

    assert status.state is State.LOST
    assert "killed" in status.reason
    assert run.status() == status


@pytest.mark.usefixtures("locked")
def test_a_run_whose_worker_lives_is_not_lost(run):
    assert mark_if_lost(run).state is State.RUNNING
    assert run.status().state is State.RUNNING


def test_a_lock_where_the_worker_said_it_is_keeps_a_run_alive(run, tmp_path):
    elsewhere = RunLock(run.id, tmp_path / "elsewhere.lock")
    assert elsewhere.take()
    run.write_status(here(State.RUNNING, lock=str(elsewhere.path)))
    assert mark_if_lost(run).state is State.RUNNING
    elsewhere.close()
    assert mark_if_lost(run).state is State.LOST


def test_a_run_of_another_computer_is_not_judged_here(run):
    run.write_status(here(State.RUNNING, host="somewhere-else"))
    assert mark_if_lost(run).state is State.RUNNING


def test_a_run_from_before_the_restart_is_lost(run):
    run.write_status(here(State.RUNNING, boot_id="an-earlier-one"))
    assert mark_if_lost(run).state is State.LOST
    assert "restarted" in run.status().reason


def test_a_run_that_was_never_started_fails_after_a_while(run):
    run.status_file.unlink()
    assert mark_if_lost(run).state is State.PREPARED
    old = RunFolder(run.path.with_name("20200101-000000-abcdef"))
    run.path.rename(old.path)
    assert mark_if_lost(old).state is State.FAILED
    assert "never started" in old.status().reason


def test_who_follows_a_lost_run_is_told(run):
    (told,) = Follower(run).look().events
    assert told.kind == "lost"
    assert "killed" in told.message


@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
def test_only_a_run_that_claims_to_run_can_be_lost(run, state):
    run.write_status(Status(state, attempt=1))

    assert mark_if_lost(run) == Status(state, attempt=1)


def test_a_run_that_ends_between_two_looks_is_not_lost(run, monkeypatch):
    ended = Status(State.COMPLETED, attempt=1)
    seen = iter([run.status(), ended, ended])
    monkeypatch.setattr(run, "status", lambda: next(seen))

    assert mark_if_lost(run) == ended


# ------------------------------------------------------------------------------------- following


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


# ------------------------------------------------------------------------------------- announcing


def test_an_event_is_announced_once_whoever_follows(run, tmp_path, notices):
    events = [event("finished", "training finished", 9), event("note", "eager")]

    assert announce(run, tmp_path / "runs", events, "best so far") == [Delivery(True)]
    assert announce(run, tmp_path / "runs", events, "best so far") == []

    ((title, body),) = notices
    assert title == f"pong {run.short_id}: finished"
    assert body.splitlines() == [
        "training finished",
        "best so far",
        "Why: Because.",
        f"Look: rlmaster follow {run.short_id}",
    ]


def test_what_nobody_could_be_told_is_left_for_who_has_a_desktop(run, tmp_path, monkeypatch):
    finished = [event("finished", "training finished", 9)]
    monkeypatch.setattr(follower, "notify_desktop", lambda *_: Delivery(False, "no desktop"))
    assert announce(run, tmp_path / "runs", finished) == [Delivery(False, "no desktop")]
    monkeypatch.setattr(follower, "notify_desktop", lambda *_: Delivery(True))
    assert announce(run, tmp_path / "runs", finished) == [Delivery(True)]


@pytest.mark.parametrize("kind", ["started", "finished", "failed", "stopped", "lost", "diverged"])
def test_what_ends_or_spoils_a_run_is_announced(run, tmp_path, notices, kind):
    announce(run, tmp_path / "runs", [event(kind, "so it is")])

    assert len(notices) == 1


@pytest.mark.parametrize("kind", ["note", "eureka"])
def test_the_rest_disturbs_nobody(run, tmp_path, notices, kind):
    announce(run, tmp_path / "runs", [event(kind, "so it is")])

    assert notices == []


def test_a_new_best_is_announced_at_most_once_in_ten_minutes(run, tmp_path, notices):
    minutes = (1, 9, 11, 12, 19, 21)
    for step, minute in enumerate(minutes):
        moment = (run.created + timedelta(minutes=minute)).isoformat()
        announce(
            run, tmp_path / "runs", [Event("new_best", f"after {minute}", step=step, time=moment)]
        )

    assert [body.partition("\n")[0] for _title, body in notices] == ["after 11", "after 21"]
