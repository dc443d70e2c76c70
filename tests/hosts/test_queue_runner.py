"""Waiting runs start in order as slots free up, whoever is killed: with real processes."""

import os
import signal
import sys

import pytest
from quick_training import end, is_training, make_quick, times_started, words
from waiting import wait_until

from rlmaster.errors import HostError
from rlmaster.follower import Follower
from rlmaster.hosts import queue_runner as module
from rlmaster.hosts.queue import Queue
from rlmaster.hosts.queue_runner import QueueRunner
from rlmaster.hosts.slots import SlotRules
from rlmaster.lifecycle import enqueue, look_after, wake_queue_runner
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import RunLock, boot_id
from rlmaster.run_status import FINAL_STATES, State

pytestmark = pytest.mark.usefixtures("same_environment")


@pytest.fixture
def code(project) -> str:
    """The digest of a snapshot whose training ends when it is told to."""
    make_quick(project / "runs" / ".snapshots" / "quick")
    return "quick"


@pytest.fixture
def queued(project, code):
    """Make a run that waits; nobody is told of it yet."""

    def make(python: str = sys.executable) -> RunFolder:
        choice = {"computer": os.uname().nodename, "python": python, "threads": 3}
        run = RunFolder.create(
            project / "runs",
            config={"name": "quick"},
            rationale="why",
            provenance={"snapshot": {"digest": code}, "script": "", "host_choice": choice},
            digests={},
            differs_from_default=[],
        )
        enqueue(run, run.status().enter(State.QUEUED, host=os.uname().nodename))
        return run

    Queue.here().write_rules(SlotRules(cpu_slots=2))
    return make


def queue_runner_of(rlmaster) -> list[int]:
    return rlmaster.processes("-m rlmaster.hosts.queue_runner")


def ended(run: RunFolder) -> State | None:
    return state if (state := run.status().state) in FINAL_STATES else None


def test_a_third_run_waits_and_starts_by_itself(queued, rlmaster, monkeypatch):
    monkeypatch.setenv("WORD", "of the launch")
    first, second, third = queued(), queued(), queued()
    wake_queue_runner()

    slots = {words(run)["worker"]: run.status().slot for run in (first, second)}
    assert sorted(slots.values()) == ["cpu:0", "cpu:1"]
    assert words(first) | {"pid": 0, "worker": 0} == {
        "OMP_NUM_THREADS": "3",
        "CUDA_VISIBLE_DEVICES": "",
        "WORD": "of the launch",
        "pid": 0,
        "worker": 0,
    }
    assert third.status().state is State.QUEUED
    assert Queue.here().position(third.id) == 0

    end(first)
    assert words(third)["worker"] not in slots
    assert first.status().state is State.COMPLETED
    assert third.status().slot == "cpu:0"
    wait_until(lambda: not queue_runner_of(rlmaster))  # nothing waits, so nobody looks
    for run in (second, third):
        end(run, code=1)
        assert wait_until(lambda run=run: ended(run)) is State.FAILED
    assert [times_started(run) for run in (first, second, third)] == [1, 1, 1]


def test_whoever_sees_a_waiting_run_brings_a_killed_queue_runner_back(queued, rlmaster):
    first, second, third, fourth = (queued() for _ in range(4))
    wake_queue_runner()
    words(first), words(second)
    (victim,) = wait_until(lambda: queue_runner_of(rlmaster))
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not queue_runner_of(rlmaster))

    end(first)  # the worker that ends starts another one
    words(third)
    os.kill(*wait_until(lambda: queue_runner_of(rlmaster)), signal.SIGKILL)
    wait_until(lambda: not queue_runner_of(rlmaster))
    for worker in (words(second)["worker"], words(third)["worker"]):
        os.kill(int(worker or 0), signal.SIGKILL)  # these can start nobody
    wait_until(lambda: ended(second) or look_after(second).state is State.LOST)

    following = Follower(fourth)
    wait_until(lambda: following.look() and is_training(fourth))
    assert times_started(fourth) == 1
    end(fourth)


def test_a_drained_queue_starts_nothing_until_it_is_opened(queued, rlmaster):
    run = queued()
    Queue.here().drain()
    wake_queue_runner()
    assert rlmaster.python("-m", "rlmaster.hosts.queue_runner").returncode == 0
    assert run.status().state is State.QUEUED

    Queue.here().open()
    wake_queue_runner()
    words(run)
    end(run)


def test_a_worker_that_cannot_start_fails_its_run_and_holds_nobody_up(queued):
    lost, next_one = queued("/nonexistent/python"), queued()
    Queue.here().write_rules(SlotRules(cpu_slots=1))
    wake_queue_runner()

    words(next_one)
    status = lost.status()
    assert status.state is State.FAILED
    assert "did not start: " in status.reason
    assert "/nonexistent/python" in status.reason
    wait_until(lost.report_tex.exists)  # by whom people are told, too
    end(next_one)


@pytest.mark.parametrize(
    ("program", "words"),
    [("#!/bin/sh\n", "it ended without a word"), ("#!/bin/sh\nexec sleep 60\n", "nothing for 1 s")],
)
def test_a_worker_that_says_nothing_is_given_up(queued, monkeypatch, tmp_path, program, words):
    monkeypatch.setattr(module, "START_DEADLINE_S", 1.0)
    python = tmp_path / "python"
    python.write_text(program)
    python.chmod(0o755)
    run = queued(str(python))
    queue_runner = QueueRunner(Queue.here())
    wait_until(lambda: queue_runner.step() or ended(run))
    assert words in run.status().reason
    assert Queue.here().waiting() == []


def test_a_warning_of_a_slow_start_is_no_last_word(queued, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "a warning" >&2\nsleep 1\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    run = queued(str(python))
    wake_queue_runner()
    words(run)
    assert times_started(run) == 1
    end(run)


def test_a_shortage_costs_time_and_no_run(queued, monkeypatch):
    runs = [queued() for _ in range(3)]
    queue_runner = QueueRunner(Queue.here())
    monkeypatch.setattr(module, "SHORTAGE_S", 0.3)

    def no_more_processes(*_: object, **__: object) -> None:
        raise HostError("no process can be started here: Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(module, "start_worker", no_more_processes)
        queue_runner.step()
    assert [run.status().state for run in runs] == [State.QUEUED] * 3
    wait_until(lambda: queue_runner.step() or is_training(runs[0]))
    for run in runs:
        end(run)


def test_a_ticket_that_is_ahead_of_its_status_is_not_thrown_away(queued):
    run = queued()
    run.write_status(run.status().enter(State.STOPPED))
    with RunLock(run.id) as lock:  # whoever resumes it holds it, and has written the ticket first
        assert lock.take()
        QueueRunner(Queue.here()).step()
        assert Queue.here().find(run.id)


def test_tickets_that_mean_nothing_are_thrown_away(queued):
    gone, damaged, stale, good = (queued() for _ in range(4))
    for file in gone.path.iterdir():
        file.unlink() if file.is_file() else file.rmdir()
    Queue.here().find(damaged.id).path.write_text("{")
    stale.write_status(stale.status().enter(State.STOPPED))

    QueueRunner(Queue.here()).step()

    assert {waiting.run_id for waiting in Queue.here().waiting()} == {good.id}
    words(good)
    assert look_after(damaged).state is State.QUEUED  # it has a ticket again
    assert Queue.here().find(damaged.id)
    end(good)


def test_hundreds_of_waiting_runs_are_files_and_no_processes(queued, rlmaster):
    runs = [queued() for _ in range(500)]
    wake_queue_runner()
    words(runs[0]), words(runs[1])
    of_two_runs = 2 * ["worker", "training"]
    found = [len(rlmaster.processes(f"-m rlmaster.{name}")) for name in of_two_runs]
    assert found == [2, 2, 2, 2]
    assert len(queue_runner_of(rlmaster)) == 1
    assert len(Queue.here().waiting()) == 498
    Queue.here().drain()


@pytest.mark.parametrize("per_gpu", [1, 2])
def test_a_gpu_has_its_own_slots_unless_somebody_else_computes_there(queued, gpus, per_gpu):
    somebody = 2**22 - 1  # no process of ours
    gpus(f"gpu GPU-busy 0 1 100000 A\nprocess {somebody} 1000\ngpu GPU-free 0 1 100000 B\n")
    Queue.here().write_rules(SlotRules(slots_per_gpu=per_gpu))
    runs = [queued() for _ in range(per_gpu + 1)]
    queue_runner = QueueRunner(Queue.here())
    for run in runs[:per_gpu]:
        wait_until(lambda run=run: queue_runner.step() or is_training(run))
        assert words(run)["CUDA_VISIBLE_DEVICES"] == "GPU-free"
    queue_runner._next_gpu_look = 0.0  # it looks again only after a while
    queue_runner.step()
    assert Queue.here().position(runs[-1].id) == 0
    busy = [f"GPU-busy:{number}" for number in range(per_gpu)]
    assert Queue.here().slots_in_foreign_use() == busy
    for run in runs:
        end(run)


def test_after_a_restart_what_was_running_is_lost_and_what_waited_starts(queued, project):
    running, waiting = queued(), queued()
    status = running.status().enter(State.RUNNING, host=os.uname().nodename, boot_id="earlier")
    running.write_status(status)
    assert boot_id() != "earlier"
    assert look_after(running).reason.endswith("was restarted")
    wake_queue_runner()
    words(waiting)
    assert not is_training(running)
    end(waiting)


def test_two_queue_runners_are_one(queued, rlmaster):
    runs = [queued() for _ in range(3)]
    for _ in range(4):
        rlmaster.start("-m", "rlmaster.hosts.queue_runner")
    words(runs[0]), words(runs[1])
    wait_until(lambda: len(queue_runner_of(rlmaster)) == 1)
    for run in runs:
        end(run)
        wait_until(lambda run=run: ended(run))
        assert times_started(run) == 1
