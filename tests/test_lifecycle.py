"""Runs under any order of arrivals, ends, kills, stops and resumes, with the real locks and files.

Worker and queue runner are the real ones, up to the processes: a worker here is what holds the
locks, and its training the copies of them that a child would have inherited.
"""

import json
import os
import platform
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from made_runs import PLAYING, make_run

from rlmaster import lifecycle
from rlmaster import worker as worker_module
from rlmaster.durable_files import write_json
from rlmaster.errors import HostError, RunFolderError
from rlmaster.hosts import queue as queue_module
from rlmaster.hosts import queue_runner as queue_runner_module
from rlmaster.hosts.probe import Probe
from rlmaster.hosts.queue import Queue
from rlmaster.hosts.queue_runner import QueueRunner
from rlmaster.lifecycle import abandon, look_after, resume, stop
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import RunLock, boot_id, is_locked
from rlmaster.run_requests import ask_to_stop, stop_requests
from rlmaster.run_status import FINAL_STATES, RESUMABLE_STATES, State, Status
from rlmaster.worker import Assignment, Worker

COMPUTER = Probe("here", 0.0, "boot", 2, 0.0, 0.0, 1, 1, 1, (), "none", (), {})
"""Two cores, so two slots."""


@pytest.fixture
def no_processes(own_locks: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing is started, and nobody waits for a lock."""
    monkeypatch.setattr(lifecycle, "start_queue_runner", lambda _name: None)
    monkeypatch.setattr(worker_module, "start_queue_runner", lambda _name: None)
    monkeypatch.setattr(queue_runner_module, "start_follower", lambda _path: None)
    for module in (lifecycle, worker_module):
        monkeypatch.setattr(module, "LOCK_PATIENCE_S", 0.0)
    monkeypatch.setattr(queue_runner_module, "probe_local", lambda _folder: COMPUTER)
    return monkeypatch


def new_run(project: Path) -> RunFolder:
    (project / "runs" / ".snapshots" / "code" / "rlmaster").mkdir(parents=True, exist_ok=True)
    return RunFolder.create(
        project / "runs",
        config={"name": "pong"},
        rationale="why",
        provenance={
            "snapshot": {"digest": "code"},
            "script": "x.py",
            "host_choice": {"computer": platform.node(), "python": "py", "threads": 2},
        },
        digests={},
        differs_from_default=[],
    )


def queued_run(project: Path) -> RunFolder:
    run = new_run(project)
    lifecycle.enqueue(run, run.status().enter(State.QUEUED, host=platform.node()))
    return run


def begin(run: RunFolder, slot: str = "cpu:0") -> Worker:
    """Return a worker of the run that has begun, as the queue runner would have it."""
    ticket = Queue.here().find(run.id)
    assert ticket is not None
    worker = Worker(run, Assignment(ticket.attempt, ticket.path, slot, 1))
    assert worker.claim() is not None
    return worker


# ----------------------------------------------------------------------------------------- lost


@pytest.fixture
def running(tmp_path, own_locks) -> RunFolder:
    """A run that claims to run here."""
    made = make_run(tmp_path / "runs")
    made.write_status(here(State.RUNNING))
    return made


def here(state: State, **changes: str) -> Status:
    """Return the status that a worker on this computer would have written."""
    return Status(state, **{"host": platform.node(), "boot_id": boot_id(), **changes})


@pytest.fixture
def locked(running):
    """Hold the run's lock, as its worker does."""
    with RunLock(running.id) as lock:
        assert lock.take()
        yield


def test_a_run_whose_lock_is_free_is_lost(running):
    status = look_after(running)

    assert status.state is State.LOST
    assert "killed" in status.reason
    assert running.status() == status


@pytest.mark.usefixtures("locked")
def test_a_run_whose_worker_lives_is_not_lost(running):
    assert look_after(running).state is State.RUNNING
    assert running.status().state is State.RUNNING


def test_a_lock_where_the_worker_said_it_is_keeps_a_run_alive(running, tmp_path):
    elsewhere = RunLock(running.id, tmp_path / "elsewhere.lock")
    assert elsewhere.take()
    running.write_status(here(State.RUNNING, lock=str(elsewhere.path)))
    assert look_after(running).state is State.RUNNING
    elsewhere.close()
    assert look_after(running).state is State.LOST


def test_a_run_of_another_computer_is_not_judged_here(running):
    running.write_status(here(State.RUNNING, host="somewhere-else", boot_id="another"))
    assert look_after(running).state is State.RUNNING


def test_a_computer_that_was_given_another_name_is_still_this_one(running):
    running.write_status(here(State.RUNNING, host="as-it-was-called"))
    assert look_after(running).state is State.LOST


@pytest.mark.parametrize(("heard_s", "state"), [(5, State.RUNNING), (90, State.LOST)])
def test_where_the_lock_cannot_be_seen_what_was_heard_last_counts(
    running, tmp_path, heard_s, state
):
    heard = datetime.now(UTC) - timedelta(seconds=heard_s)
    missing = str(tmp_path / "removed.lock")
    running.write_status(here(State.RUNNING, lock=missing, heartbeat=heard.isoformat()))
    assert look_after(running).state is state


def test_a_run_of_a_computer_that_is_gone_can_be_given_up(running):
    old = "2026-01-01T00:00:00.000+00:00"
    elsewhere = {"host": "gone", "boot_id": "another"}
    running.write_status(here(State.RUNNING, **elsewhere, heartbeat=datetime.now(UTC).isoformat()))
    with pytest.raises(RunFolderError, match="is alive on gone"):
        abandon(running)
    running.write_status(here(State.RUNNING, **elsewhere, heartbeat=old))
    with pytest.raises(HostError, match="runs on gone; stop it there, or give it up"):
        stop(running)
    assert abandon(running).state is State.LOST
    assert "gone could not be asked" in running.status().reason
    with pytest.raises(RunFolderError, match="is lost; nobody else has it"):
        abandon(running)


def test_a_run_from_before_the_restart_is_lost(running):
    running.write_status(here(State.RUNNING, boot_id="an-earlier-one"))
    assert look_after(running).state is State.LOST
    assert "restarted" in running.status().reason


@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
def test_only_a_run_that_claims_to_run_can_be_lost(running, state):
    running.write_status(Status(state, host="somewhere-else"))

    assert look_after(running) == Status(state, host="somewhere-else")


def test_a_run_that_ends_between_two_looks_is_not_lost(running, monkeypatch):
    ended = Status(State.COMPLETED, attempt=1)
    seen = iter([running.status(), ended, ended])
    monkeypatch.setattr(running, "status", lambda: next(seen))

    assert look_after(running) == ended


# ------------------------------------------------------------------------------ one at a time


@pytest.mark.usefixtures("no_processes")
def test_a_run_that_begins_leaves_the_queue(tmp_path):
    run = queued_run(tmp_path)
    assert look_after(run).state is State.QUEUED

    worker = begin(run)

    assert Queue.here().waiting() == []
    status = look_after(run)
    assert (status.state, status.attempt, status.slot) == (State.RUNNING, 1, "cpu:0")
    worker._let_go()
    assert look_after(run).state is State.LOST
    (attempt,) = run.attempts()
    assert (attempt["attempt"], attempt["state"]) == (1, "lost")
    assert attempt["start"] == status.since


@pytest.mark.usefixtures("no_processes")
def test_a_launch_that_was_cut_before_its_ticket_is_completed(tmp_path):
    run = new_run(tmp_path)
    assert look_after(run).state is State.QUEUED
    assert [waiting.run_id for waiting in Queue.here().waiting()] == [run.id]
    begin(run)._let_go()


@pytest.mark.usefixtures("no_processes")
def test_a_launch_that_is_under_way_is_left_alone(tmp_path):
    run = new_run(tmp_path)
    with RunLock(run.id) as lock:
        assert lock.take()
        assert look_after(run).state is State.PREPARED
    assert Queue.here().waiting() == []


@pytest.mark.usefixtures("no_processes")
def test_a_launch_that_was_cut_long_ago_waits_for_a_person(tmp_path):
    run = new_run(tmp_path)
    old = RunFolder(run.path.with_name("20200101-000000-abcdef"))
    run.path.rename(old.path)
    status = look_after(old)
    assert status.state is State.FAILED
    assert "launch was interrupted; `rlmaster resume abcdef`" in status.reason
    assert resume(old).attempt == 2


@pytest.mark.usefixtures("no_processes")
def test_a_lost_ticket_is_written_again(tmp_path):
    run = queued_run(tmp_path)
    Queue.here().remove(run.id)
    assert look_after(run).state is State.QUEUED
    assert Queue.here().find(run.id, attempt=1)


@pytest.mark.usefixtures("no_processes")
def test_a_copy_of_a_run_that_waits_does_not_wait(tmp_path):
    run = queued_run(tmp_path)
    provenance = run.provenance()
    provenance["host_choice"]["folder"] = str(run.path)
    run.provenance_file.write_text(json.dumps(provenance))
    another = tmp_path / "another project" / "runs"
    shutil.copytree(tmp_path / "runs", another)
    copy = RunFolder(another / "pong" / run.id)
    stop(copy)
    assert Queue.here().find(run.id)  # a stop of the copy is not one of the original
    shutil.rmtree(copy.path)
    shutil.copytree(run.path, copy.path)
    begin(run)._let_go()

    look_after(copy)
    assert Queue.here().waiting() == []
    shutil.rmtree(run.path)  # so it was moved, not copied
    look_after(copy)
    assert Queue.here().find(run.id)


@pytest.mark.usefixtures("no_processes")
def test_a_run_that_is_moved_in_the_queue_while_it_starts_leaves_it(tmp_path):
    run, other = queued_run(tmp_path), queued_run(tmp_path)
    worker = Worker(run, Assignment(1, Queue.here().find(run.id).path, "cpu:0", 1))
    Queue.here().move_to_front(other.id)
    Queue.here().move_to_front(run.id)
    assert worker.claim()
    assert [waiting.run_id for waiting in Queue.here().waiting()] == [other.id]
    worker._let_go()


@pytest.mark.usefixtures("no_processes")
def test_requests_to_an_attempt_that_has_ended_do_not_reach_the_next(tmp_path):
    run = queued_run(tmp_path)
    begin(run)._let_go()
    look_after(run)
    ask_to_stop(run, attempt=2)
    resume(run)
    assert stop_requests(run, attempt=2) == []


@pytest.mark.usefixtures("no_processes")
def test_an_ending_that_cannot_be_written_still_hands_over(tmp_path, monkeypatch):
    run = queued_run(tmp_path)
    worker = Worker(run, Assignment(1, Queue.here().find(run.id).path, "cpu:0", 1))
    monkeypatch.setattr(worker_module, "WRITING_DEADLINE_S", 0.0)
    monkeypatch.setattr(worker_module, "start_follower", lambda _path: None)
    monkeypatch.setattr(worker, "_train", lambda status: status.enter(State.COMPLETED))
    monkeypatch.setattr(worker, "claim", lambda claim=worker.claim: (claim(), refuse())[0])

    def refuse() -> None:
        monkeypatch.setattr(run, "write_status", full)

    def full(_status: Status) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        worker.execute()
    assert not is_locked(run.id)


@pytest.mark.usefixtures("no_processes")
def test_what_waits_on_another_computer_is_not_queued_here(tmp_path):
    run = new_run(tmp_path)
    run.write_status(run.status().enter(State.QUEUED, host="somewhere-else"))
    assert look_after(run).state is State.QUEUED
    assert Queue.here().waiting() == []


@pytest.mark.usefixtures("no_processes")
def test_a_waiting_run_is_stopped_at_once_and_resumed_behind_the_others(tmp_path):
    first, second = queued_run(tmp_path), queued_run(tmp_path)
    assert stop(first).reason == "it was taken out of the queue"
    assert [waiting.run_id for waiting in Queue.here().waiting()] == [second.id]
    resume(first)
    assert [waiting.run_id for waiting in Queue.here().waiting()] == [second.id, first.id]
    assert first.status().attempt == 2


@pytest.mark.usefixtures("no_processes")
def test_what_cannot_be_resumed_says_what_can_be_done(tmp_path):
    run = queued_run(tmp_path)
    with pytest.raises(RunFolderError, match="waits in the queue already"):
        resume(run)
    worker = begin(run)
    with pytest.raises(RunFolderError, match="still being worked on"):
        resume(run)
    worker._record_ending(run.status().enter(State.COMPLETED), started="")
    worker._let_go()
    for config, budget in (({}, "training.updates"), (PLAYING, "agent_training.steps")):
        write_json(run.config_file, config)
        with pytest.raises(RunFolderError, match=rf"is completed; `rlmaster branch .*{budget}="):
            resume(run)


@pytest.mark.usefixtures("no_processes")
def test_a_run_whose_code_is_gone_says_so(tmp_path):
    run = queued_run(tmp_path)
    stop(run)
    (tmp_path / "runs/.snapshots/code/rlmaster").rmdir()
    (tmp_path / "runs/.snapshots/code").rmdir()
    with pytest.raises(RunFolderError, match=r"code of run .* is gone .*rlmaster branch"):
        resume(run)
    assert run.status().state is State.STOPPED


@pytest.mark.usefixtures("no_processes")
def test_a_worker_that_comes_too_late_does_nothing(tmp_path):
    run = queued_run(tmp_path)
    late = Worker(run, Assignment(1, Queue.here().waiting()[0].path, "cpu:0", 1))
    stop(run)
    resume(run)
    assert late.claim() is None
    assert run.status().state is State.QUEUED


@pytest.mark.usefixtures("no_processes")
def test_a_worker_whose_slot_is_taken_leaves_the_run_waiting(tmp_path):
    holder = begin(queued_run(tmp_path))
    run = queued_run(tmp_path)
    late = Worker(run, Assignment(1, Queue.here().waiting()[0].path, "cpu:0", 1))
    assert late.claim() is None
    assert run.status().state is State.QUEUED
    assert Queue.here().position(run.id) == 0
    holder._let_go()


# -------------------------------------------------------------------------------- in any order


@dataclass
class Process:
    """A worker, and after it began the copies of its locks that its training inherited."""

    worker: Worker
    run: RunFolder
    attempt: int
    slot: str
    inherited: list[int] = field(default_factory=list)
    status: Status | None = None
    worker_lives: bool = True
    pid: None = None

    def lives(self) -> bool:
        """Tell what the queue runner asks: whether the worker is still there."""
        return self.worker_lives

    @property
    def holds(self) -> bool:
        return self.worker_lives or bool(self.inherited)

    def end_training(self) -> None:
        for handle in self.inherited:
            os.close(handle)
        self.inherited = []

    def end_worker(self) -> None:
        if self.worker_lives:
            self.worker._let_go()
        self.worker_lives = False


class AnyOrder(RuleBasedStateMachine):
    """What people, the kernel and the clock may do to a computer's runs."""

    runs = Bundle("runs")

    def __init__(self, project: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.project = project
        self.now_ns = 10**18
        self.processes: list[Process] = []
        self.started: list[Process] = []
        """Those that have not taken their run yet."""
        self.begun: set[tuple[str, int]] = set()
        self.all_runs: list[RunFolder] = []
        patch.setattr(queue_runner_module, "start_worker", self.start_worker)
        patch.setattr(queue_module.time, "time_ns", lambda: self.now_ns)
        patch.setattr(queue_runner_module.time, "monotonic", lambda: self.now_ns / 1e9)
        self.queue_runner = QueueRunner(Queue.here())

    def start_worker(self, path: Path, *, arguments: list[str], **_: Any) -> "Process":
        given = dict(zip(arguments[::2], arguments[1::2], strict=True))
        run, attempt = RunFolder(path), int(given["--attempt"])
        order = [waiting.run_id for waiting in Queue.here().waiting()]
        under_way = {start.waiting.run_id for start in self.queue_runner._starts.values()}
        assert set(order[: order.index(run.id)]) <= under_way, "order is kept"
        worker = Worker(run, Assignment(attempt, Path(given["--ticket"]), given["--slot"], 1))
        self.started.append(Process(worker, run, attempt, given["--slot"]))
        return self.started[-1]

    # ------------------------------------------------------------------------------ people

    @rule(target=runs)
    def launch(self) -> RunFolder:
        self.now_ns += 1
        self.all_runs.append(queued_run(self.project))
        return self.all_runs[-1]

    @rule(target=runs)
    def cut_launch(self) -> RunFolder:
        self.all_runs.append(new_run(self.project))
        return self.all_runs[-1]

    @rule(run=runs)
    def look(self, run: RunFolder) -> None:
        look_after(run)

    @rule(run=runs)
    def stop(self, run: RunFolder) -> None:
        stop(run)

    @rule(run=runs)
    def resume(self, run: RunFolder) -> None:
        self.now_ns += 1
        before = look_after(run)
        if before.state in RESUMABLE_STATES:
            assert resume(run).attempt == before.attempt + 1
        else:
            with pytest.raises(RunFolderError):
                resume(run)

    @rule(run=runs)
    def move_to_front(self, run: RunFolder) -> None:
        Queue.here().move_to_front(run.id)

    # ---------------------------------------------------------------- queue runner and clock

    @rule()
    def step(self) -> None:
        self.queue_runner.step()

    @rule()
    def kill_queue_runner(self) -> None:
        self.queue_runner = QueueRunner(Queue.here())

    @rule(hours=st.sampled_from([-1, 1]))
    def set_clock(self, hours: int) -> None:
        self.now_ns += hours * 3_600_000_000_000

    # ----------------------------------------------------------------------------- processes

    @precondition(lambda self: self.started)
    @rule(data=st.data())
    def worker_begins(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(self.started))
        self.started.remove(process)
        process.status = process.worker.claim()
        if process.status is None:
            process.worker_lives = False
            return
        assert (process.run.id, process.attempt) not in self.begun, "no attempt begins twice"
        self.begun.add((process.run.id, process.attempt))
        worker = process.worker
        process.inherited = [os.dup(worker._lock.handle), os.dup(worker._slot_lock.handle)]
        self.processes.append(process)

    @precondition(lambda self: self.started)
    @rule(data=st.data())
    def worker_dies_before_it_begins(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(self.started))
        self.started.remove(process)
        process.end_worker()

    @precondition(lambda self: any(p.holds for p in self.processes))
    @rule(data=st.data(), what=st.sampled_from(["worker", "training", "both"]))
    def kill(self, data: st.DataObject, what: str) -> None:
        process = data.draw(st.sampled_from([p for p in self.processes if p.holds]))
        if what != "training":
            process.end_worker()
        if what != "worker":
            process.end_training()
            self.worker_writes_the_end(process, State.FAILED)

    @precondition(lambda self: any(p.inherited for p in self.processes))
    @rule(data=st.data(), state=st.sampled_from([State.COMPLETED, State.STOPPED, State.FAILED]))
    def training_ends(self, data: st.DataObject, state: State) -> None:
        process = data.draw(st.sampled_from([p for p in self.processes if p.inherited]))
        process.end_training()
        self.worker_writes_the_end(process, state)

    def worker_writes_the_end(self, process: Process, state: State) -> None:
        if process.worker_lives:
            assert process.status is not None
            assert process.run.status().state is State.RUNNING, "nobody else wrote its end"
            process.worker._record_ending(process.status.enter(state), started="")
            process.end_worker()

    # ---------------------------------------------------------------------------- what holds

    @invariant()
    def never_two_on_one_slot(self) -> None:
        slots = [process.slot for process in self.processes if process.holds]
        assert len(slots) == len(set(slots))

    @invariant()
    def never_one_run_twice(self) -> None:
        ids = [process.run.id for process in self.processes if process.holds]
        assert len(ids) == len(set(ids))

    @invariant()
    def who_is_worked_on_is_running(self) -> None:
        for process in self.processes:
            if process.holds:
                assert look_after(process.run).state is State.RUNNING

    def teardown(self) -> None:
        """Let everything calm down: then each run has ended, and nothing waits."""
        for _ in range(1000):
            for run in self.all_runs:
                look_after(run)
            self.queue_runner.step()
            for process in list(self.started):
                self.started.remove(process)
                process.status = process.worker.claim()
                if process.status is not None:
                    assert (process.run.id, process.attempt) not in self.begun
                    self.begun.add((process.run.id, process.attempt))
                    self.processes.append(process)
            for process in self.processes:
                process.end_training()
                self.worker_writes_the_end(process, State.COMPLETED)
            self.now_ns += 40_000_000_000  # past every deadline
            if not Queue.here().waiting():
                break
        for run in self.all_runs:
            assert look_after(run).state in FINAL_STATES, run.status()
        assert Queue.here().waiting() == []


def test_any_order_of_arrivals_ends_kills_stops_and_resumes(
    tmp_path_factory: pytest.TempPathFactory, no_processes: pytest.MonkeyPatch
) -> None:
    def machine() -> AnyOrder:
        folder = tmp_path_factory.mktemp("computer")
        no_processes.setenv("XDG_STATE_HOME", str(folder / "state"))
        no_processes.setenv("RLMASTER_LOCKS", str(folder))
        return AnyOrder(folder, no_processes)

    few = settings(max_examples=60, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(machine, settings=few)
