import os
import shutil
import signal
from itertools import chain

import pytest
from waiting import wait_until

from rlmaster.events import read_events
from rlmaster.experiment import Experiment
from rlmaster.experiment_script import describe_script
from rlmaster.lifecycle import look_after
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import is_locked
from rlmaster.run_status import State, Status
from rlmaster.worker import Worker

ENDLESS = [
    "frames.steps=200",
    "training.updates=19999",
    "training.batch_size=1",
    "recording.checkpoints=1",
]
"""Fewer updates than torch.compile is tried for, and more than a test waits for."""

pytestmark = [pytest.mark.learns, pytest.mark.usefixtures("same_environment")]


@pytest.fixture
def run(project) -> RunFolder:
    """A run that will not end by itself, prepared but not started."""
    description = describe_script(project / "experiments" / "tiny.py", ENDLESS)
    return RunFolder.create(
        project / "runs",
        config=description.experiment,
        rationale="why",
        provenance={"script": "", "snapshot": {"digest": "none"}},
        digests={"experiment": description.digest},
        differs_from_default=[],
    )


@pytest.fixture
def worker(run, rlmaster):
    """The run's worker, started, and training beside it."""
    process = rlmaster.start("-m", "rlmaster.worker", str(run.path))
    wait_until(lambda: training_of(rlmaster))
    return process


def training_of(rlmaster) -> int | None:
    return next(iter(rlmaster.processes("-m rlmaster.training")), None)


def await_updates(run: RunFolder) -> None:
    wait_until(lambda: run.progress().phase == "training" and run.progress().step > 0, 60)


def checkpoints(run: RunFolder) -> list[str]:
    return [path.name for path in run.checkpoints.glob("[!.]*")]


def test_training_that_fails_is_shown_with_its_words(rlmaster):
    too_few = ["--set", "frames.steps=100", "--set", "environment.num_environments=1"]
    given = ["--rationale", "why", "--host", "local", "--yes", "--follow"]

    done = rlmaster("launch", "tiny", *given, *too_few)

    (folder,) = (rlmaster.project / "runs" / "tiny-pong").iterdir()
    run = RunFolder(folder)
    status = run.status()
    assert done.returncode == 1
    assert (status.state, status.exit_code, status.signal) == (State.FAILED, 1, None)
    assert "episode" in status.reason
    assert f"the run failed: {status.reason}" in done.stderr
    assert f"  | {run.log_file.read_text().splitlines()[-1]}" in done.stderr
    assert "Traceback" not in done.stderr
    assert [happened.kind for happened in read_events(run.worker_events)[0]] == [
        "started",
        "failed",
    ]
    (attempt,) = run.attempts()
    assert (attempt["attempt"], attempt["state"]) == (1, "failed")
    assert attempt["reason"] == status.reason
    assert attempt["start"] < attempt["end"]


def test_a_kill_of_training_is_named(run, rlmaster, worker):
    os.kill(training_of(rlmaster), signal.SIGKILL)

    assert worker.wait(20) == 1
    status = run.status()
    assert (status.state, status.signal, status.exit_code) == (State.FAILED, 9, None)
    assert "SIGKILL" in status.reason
    assert not is_locked(run.id)


def test_a_stop_keeps_a_checkpoint(run, worker):
    await_updates(run)
    worker.terminate()

    assert worker.wait(20) == 1
    status = run.status()
    assert (status.state, status.exit_code) == (State.STOPPED, 75)
    assert checkpoints(run)
    assert [happened.kind for happened in read_events(run.worker_events)[0]] == [
        "started",
        "stopped",
    ]


def test_a_stop_before_training_can_listen_is_a_stop_too(run, worker):
    worker.terminate()

    assert worker.wait(20) == 1
    assert run.status().state is State.STOPPED


def test_the_end_of_its_terminal_stops_a_run(run, rlmaster):
    # As tmux does it: the terminal is gone, and what is written there fails.
    done = rlmaster.python("-c", HANG_UP, str(run.path))

    assert done.returncode == 0, done.stderr
    assert run.status().state is State.STOPPED


HANG_UP = """
import os, pty, sys
from rlmaster.events import read_events
from rlmaster.run_folder import RunFolder
worker, terminal = pty.fork()
if worker == 0:
    os.execv(sys.executable, [sys.executable, "-m", "rlmaster.worker", sys.argv[1]])
run = RunFolder(__import__("pathlib").Path(sys.argv[1]))
while b"training tiny-pong" not in os.read(terminal, 10_000):
    pass
os.close(terminal)
os.waitpid(worker, 0)
"""


@pytest.mark.system
def test_in_a_terminal_too_training_keeps_its_work_when_its_worker_is_killed(rlmaster):
    run = rlmaster.launch(*chain.from_iterable(("--set", change) for change in ENDLESS))
    await_updates(run)
    (worker,) = rlmaster.processes(f"-m rlmaster.worker {run.path}")

    os.kill(worker, signal.SIGKILL)

    wait_until(lambda: look_after(run).state is State.LOST, 30)
    assert checkpoints(run)


@pytest.mark.parametrize("when", ["before training can listen", "while it trains"])
def test_training_ends_with_its_worker_and_the_run_is_lost(run, rlmaster, worker, when):
    if when == "while it trains":
        await_updates(run)
    training = training_of(rlmaster)
    os.kill(training, signal.SIGSTOP)  # so that it certainly outlives its worker
    worker.kill()
    worker.wait()
    assert look_after(run).state is State.RUNNING
    os.kill(training, signal.SIGCONT)

    wait_until(lambda: look_after(run).state is State.LOST, 30)
    wait_until(lambda: training_of(rlmaster) is None)
    if when == "while it trains":
        assert checkpoints(run)


def test_a_run_has_one_worker(run, rlmaster, worker):
    second = rlmaster.python("-m", "rlmaster.worker", str(run.path))

    assert second.returncode == 1
    assert second.stderr == f"run {run.short_id} is already being worked on here\n"
    assert run.status().state is State.RUNNING


def test_a_run_that_has_ended_is_not_run_again(finished_run, rlmaster):
    run = finished_run.folder
    before = run.status_file.read_bytes()

    again = rlmaster.python("-m", "rlmaster.worker", str(run.path))

    assert again.returncode == 1
    assert again.stderr == f"run {run.short_id} is completed, not waiting\n"
    assert run.status_file.read_bytes() == before


def test_a_run_that_has_finished_says_how_it_went(finished_run):
    run = finished_run.folder
    status, environment = run.status(), run.environment()

    assert (status.state, status.attempt, status.exit_code) == (State.COMPLETED, 1, 0)
    assert status.since <= status.heartbeat
    kinds = [happened.kind for happened in read_events(run.worker_events)[0]]
    assert kinds == ["started", "finished"]
    assert environment["packages"]["torch"]
    assert environment["threads"] >= 1
    assert Experiment.from_data(run.config()).seed == 7
    (attempt,) = run.attempts()
    assert attempt["state"] == "completed"


@pytest.fixture
def folder(own_locks, tmp_path) -> RunFolder:
    """A run folder for a worker that is never executed."""
    return RunFolder.create(
        tmp_path,
        config={"name": "full"},
        rationale="to test",
        provenance={},
        digests={},
        differs_from_default=[],
    )


def test_the_ending_is_written_once_the_disk_has_room_again(folder, monkeypatch):
    write, refusals = folder.write_status, iter([True, True, False])

    def full_at_first(status: Status) -> None:
        if next(refusals):
            raise OSError(28, "No space left on device")
        write(status)

    monkeypatch.setattr(folder, "write_status", full_at_first)
    monkeypatch.setattr(folder, "append_attempt", lambda _attempt: (_ for _ in ()).throw(OSError))
    running = Status(State.RUNNING, attempt=1)
    Worker(folder)._record_ending(running.enter(State.COMPLETED, exit_code=0), started="")
    assert folder.status().state is State.COMPLETED


def test_the_room_for_last_words_is_given_back(finished_run):
    assert not list(finished_run.folder.path.glob(".reserve"))


def test_the_last_words_find_room_on_a_full_disk(folder):
    worker = Worker(folder)
    worker._reserve.write_bytes(bytes(10))
    worker._record_ending(Status(State.RUNNING, attempt=1).enter(State.FAILED), started="")
    assert not worker._reserve.exists()
    assert folder.status().state is State.FAILED


def test_a_run_whose_folder_is_deleted_ends_and_frees_its_lock(run, rlmaster, worker):
    def is_gone() -> bool:
        shutil.rmtree(run.path, ignore_errors=True)  # training may be writing there meanwhile
        return worker.poll() is not None

    wait_until(is_gone, 40)
    wait_until(lambda: not is_locked(run.id))
    assert training_of(rlmaster) is None
