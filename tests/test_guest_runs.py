"""Runs that are made elsewhere, that came from elsewhere, and those that go on by themselves."""

import os
import platform
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from quick_training import end, is_training, make_quick, words
from waiting import wait_until

from rlmaster import lifecycle
from rlmaster.durable_files import read_json, write_json
from rlmaster.errors import HostError, RunFolderError
from rlmaster.events import read_events
from rlmaster.guests import release, see_to_attempt
from rlmaster.hosts.queue import Queue
from rlmaster.lifecycle import look_after, resume
from rlmaster.placement import Left, Placement, machine
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_lock import RunLock, boot_id
from rlmaster.run_requests import ask_to_stop
from rlmaster.run_status import FINAL_STATES, State, Status


@pytest.fixture
def quiet(own_locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started, and nobody waits for a lock."""
    monkeypatch.setattr(lifecycle, "start_queue_runner", lambda _name: None)
    monkeypatch.setattr(lifecycle, "LOCK_PATIENCE_S", 0.0)


def make_run(project: Path, **config: str) -> RunFolder:
    (project / "runs" / ".snapshots" / "code" / "rlmaster").mkdir(parents=True, exist_ok=True)
    return RunFolder.create(
        project / "runs",
        config={"name": "pong", **config},
        rationale="why",
        provenance={"snapshot": {"digest": "code"}, "script": "x.py", "host_choice": {}},
        digests={},
        differs_from_default=[],
    )


def placement(run: RunFolder, **changes: str) -> Placement:
    """Return the placement of a run that is a guest here."""
    here = Placement(
        host="office",
        kind="ssh",
        computer=platform.node(),
        machine=machine(),
        folder=str(run.path.absolute()),
        workspace=str(run.path.parents[2]),
        python="/usr/bin/python3",
        threads=3,
    )
    return replace(here, **changes)


def running(run: RunFolder, attempt: int = 1) -> Status:
    return Status(State.RUNNING, attempt, host=platform.node(), boot_id=boot_id())


# --------------------------------------------------------------------------------- placements


def test_a_placement_comes_back_as_it_was_written(tmp_path):
    run = make_run(tmp_path)
    assert run.placement() is None
    assert run.is_here()
    kept = replace(placement(run), left=(Left("attic", "/there", 2),))
    run.write_placement(kept)
    assert run.placement() == kept
    assert run.is_here()
    assert run.is_guest()


@pytest.mark.parametrize("changes", [{"machine": "another"}, {"folder": "/elsewhere"}])
def test_a_run_with_another_machine_or_folder_is_a_mirror(tmp_path, changes):
    run = make_run(tmp_path)
    run.write_placement(placement(run, **changes))
    assert not run.is_here()
    assert not run.is_guest()


@pytest.mark.parametrize("content", ['{"host": 1}', "[]", "no JSON", '{"left": [{"x": 1}]}'])
def test_a_damaged_placement_is_none(tmp_path, content):
    run = make_run(tmp_path)
    run.placement_file.write_text(content)
    assert run.placement() is None


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("state", [State.PREPARED, State.QUEUED, State.RUNNING])
def test_a_mirror_is_left_alone_whatever_it_says(tmp_path, state):
    run = make_run(tmp_path)
    run.write_placement(placement(run, machine="another"))
    run.write_status(replace(running(run), state=state))
    assert look_after(run).state is state
    assert Queue.here().waiting() == []
    with pytest.raises(RunFolderError, match="made on another computer"):
        resume(run)


# -------------------------------------------------------------------------------------- guests


@pytest.mark.usefixtures("quiet")
def test_a_guest_is_queued_with_the_python_and_threads_of_its_host(tmp_path):
    run = make_run(tmp_path)
    run.write_placement(placement(run))

    assert see_to_attempt(run, 1).state is State.QUEUED

    waiting = Queue.here().find(run.id)
    assert waiting is not None
    assert (ticket := waiting.ticket()) is not None
    assert (ticket.python, ticket.threads, ticket.attempt) == ("/usr/bin/python3", 3, 1)
    assert see_to_attempt(run, 1).state is State.QUEUED  # once more changes nothing
    assert len(Queue.here().waiting()) == 1


@pytest.mark.usefixtures("quiet")
def test_a_later_attempt_is_made_of_one_that_has_ended(tmp_path):
    run = make_run(tmp_path)
    run.write_placement(placement(run))
    run.write_status(Status(State.STOPPED, 1, host=platform.node()))

    status = see_to_attempt(run, 4)  # others were made elsewhere

    assert (status.state, status.attempt) == (State.QUEUED, 4)
    assert see_to_attempt(run, 4) == status
    assert see_to_attempt(run, 3) == status


@pytest.mark.usefixtures("quiet")
def test_an_attempt_that_was_given_up_from_afar_is_stopped_before_the_next(tmp_path):
    run = make_run(tmp_path)
    run.write_placement(placement(run))
    run.write_status(running(run))
    with RunLock(run.id) as lock:
        assert lock.take()
        assert see_to_attempt(run, 2).attempt == 1
        assert list(run.requests.glob("stop-*.json"))
    assert see_to_attempt(run, 2).state is State.LOST or run.status().attempt == 2
    assert see_to_attempt(run, 2).attempt == 2


@pytest.mark.usefixtures("quiet")
def test_a_guest_that_cannot_be_queued_is_said_to_be_so(tmp_path):
    run = make_run(tmp_path)
    run.write_placement(placement(run))
    with RunLock(run.id) as lock:
        assert lock.take()
        with pytest.raises(HostError, match="cannot be queued here"):
            see_to_attempt(run, 1)


@pytest.mark.usefixtures("quiet")
def test_a_run_that_was_released_is_nobodys_here_any_more(tmp_path):
    run = make_run(tmp_path)
    run.write_placement(placement(run))
    see_to_attempt(run, 1)

    assert release(run).state is State.STOPPED

    assert Queue.here().waiting() == []
    assert not run.is_here()
    assert release(run).state is State.STOPPED
    with pytest.raises(RunFolderError):
        resume(run)


@pytest.mark.usefixtures("quiet")
def test_a_run_that_was_released_is_made_here_again_when_it_is_sent_back(tmp_path):
    run = make_run(tmp_path)
    run.write_placement(placement(run))
    see_to_attempt(run, 1)
    release(run)
    assert see_to_attempt(run, 3).attempt == 3
    assert run.is_here()
    assert Queue.here().find(run.id, 3)


@pytest.mark.usefixtures("quiet")
def test_a_run_that_lives_is_released_once_it_has_ended(tmp_path):
    run = make_run(tmp_path, on_lost="resume")
    run.write_placement(placement(run))
    run.write_status(running(run))
    with RunLock(run.id) as lock:
        assert lock.take()
        assert release(run).state is State.RUNNING
        assert run.is_here()
        run.write_status(run.status().enter(State.STOPPED))
    assert release(run).state is State.STOPPED
    assert not run.is_here()


# ------------------------------------------------------------------------- going on by itself


@pytest.mark.usefixtures("quiet")
def test_a_run_that_asks_for_it_goes_on_when_it_was_lost(tmp_path):
    run = make_run(tmp_path, on_lost="resume")
    run.write_status(running(run))

    status = look_after(run)

    assert (status.state, status.attempt) == (State.QUEUED, 2)
    assert Queue.here().find(run.id, 2)
    (attempt,) = run.attempts()
    assert (attempt["state"], attempt["attempt"]) == ("lost", 1)
    (event,), _ = read_events(run.worker_events)
    assert event.kind == "resumed_by_itself"
    assert "killed" in event.message
    assert "attempt 2" in event.message


@pytest.mark.usefixtures("quiet")
def test_a_run_goes_on_after_a_restart_of_its_computer(tmp_path):
    run = make_run(tmp_path, on_lost="resume")
    run.write_status(replace(running(run), boot_id="before"))
    assert look_after(run).attempt == 2
    assert "restarted" in run.attempts()[0]["reason"]


@pytest.mark.usefixtures("quiet")
def test_a_run_that_was_asked_to_stop_before_it_was_lost_does_not_go_on(tmp_path):
    run = make_run(tmp_path, on_lost="resume")
    run.write_status(running(run))
    ask_to_stop(run, attempt=1)
    assert look_after(run).state is State.LOST


@pytest.mark.usefixtures("quiet")
def test_a_run_that_dies_three_times_at_one_place_is_left_to_a_person(tmp_path):
    run = make_run(tmp_path, on_lost="resume")
    run.write_progress(Progress(phase="training", step=70))
    for attempt in (1, 2):
        run.write_status(running(run, attempt))
        assert look_after(run).state is State.QUEUED
    run.write_status(running(run, 3))
    assert look_after(run).state is State.LOST


@pytest.mark.usefixtures("quiet")
def test_a_run_that_moves_on_between_its_deaths_goes_on(tmp_path):
    run = make_run(tmp_path, on_lost="resume")
    for attempt in range(1, 6):
        run.write_progress(Progress(phase="training", step=70 * attempt))
        run.write_status(running(run, attempt))
        assert look_after(run).attempt == attempt + 1


@pytest.mark.usefixtures("quiet")
def test_a_run_whose_code_is_gone_is_lost_after_all(tmp_path):
    run = make_run(tmp_path, on_lost="resume")
    (tmp_path / "runs" / ".snapshots" / "code" / "rlmaster").rmdir()
    (tmp_path / "runs" / ".snapshots" / "code").rmdir()
    run.write_status(running(run))
    assert look_after(run).state is State.LOST


@pytest.mark.usefixtures("same_environment")
def test_training_that_the_kernel_kills_goes_on_and_ends_well(rlmaster):
    make_quick(rlmaster.project)
    run = rlmaster.launch("--set", "on_lost=resume")
    killed = words(run)["pid"]
    os.kill(int(killed or 0), signal.SIGKILL)  # as the kernel does when memory runs out

    wait_until(lambda: is_training(run) and words(run)["pid"] != killed, 60)

    assert run.status().attempt == 2
    end(run)
    wait_until(lambda: run.status().state in FINAL_STATES, 60)
    assert [attempt["state"] for attempt in run.attempts()] == ["failed", "completed"]


@pytest.mark.usefixtures("quiet")
def test_without_that_wish_a_lost_run_stays_lost(tmp_path):
    run = make_run(tmp_path)
    assert "on_lost" not in (read_json(run.config_file) or {})
    write_json(run.config_file, {"name": "pong", "on_lost": "report"})
    run.write_status(running(run))
    assert look_after(run).state is State.LOST
