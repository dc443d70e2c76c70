"""The worker: owns one attempt of one run on the computer where it executes, and records its end.

`python -m rlmaster.worker RUN_FOLDER` takes the run lock and its slot, starts training as its
child, says every few seconds that it lives, obeys requests, and writes the ending. It loads no
torch, so it costs next to nothing.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from rlmaster.announcing import announce_ending
from rlmaster.durable_files import utc_now, write_json
from rlmaster.errors import HostError, UsageError
from rlmaster.events import Event, append_event, event
from rlmaster.hosts.local import start_follower, start_queue_runner
from rlmaster.hosts.probing import probe_local
from rlmaster.hosts.queue import Queue
from rlmaster.hosts.slots import device_of
from rlmaster.lifecycle import go_on_by_itself
from rlmaster.run_folder import WORKER_VARIABLE, RunFolder
from rlmaster.run_lock import HostLock, RunLock, SlotLock, boot_id
from rlmaster.run_requests import stop_requests
from rlmaster.run_status import STOPPED_EXIT_CODE, WAITING_STATES, State, Status
from rlmaster.run_watch import DiskWatch, StallWatch
from rlmaster.user_config import read_user_config

HEARTBEAT_S = 5.0
POLL_S = 0.2
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOP_DEADLINE_S = 60.0
"""Training keeps its work within 20 s of a request; one that hangs is killed after this."""
WRITING_DEADLINE_S = 60.0
"""How long the beginning or the ending is tried to be written on a disk that is full."""
LOCK_PATIENCE_S = 10.0
"""Who only asks whether a lock is held, or writes that the run is queued, has it for a moment."""
RESERVE_BYTES = 2**16
PACKAGES = ("torch", "numpy", "gymnasium", "ale-py", "tensorboard", "safetensors", "rlmaster")


@dataclass(frozen=True)
class Assignment:
    """Which attempt a worker is for, and where it computes."""

    attempt: int | None = None
    """None for whichever waits."""
    ticket: Path | None = None
    """What is removed from the queue once the attempt has begun."""
    slot: str = ""
    """Empty where nobody counts slots."""
    threads: int | None = None
    """Cores that training may use; None for all of them."""


class Worker:
    """Runs one attempt of one run, from the lock to the last line of its status."""

    def __init__(self, run: RunFolder, assignment: Assignment = Assignment()) -> None:
        """Prepare to own a run; nothing is taken yet."""
        self.run = run
        self._assignment = assignment
        self._lock = RunLock(run.id)
        self._slot_lock = SlotLock(assignment.slot) if assignment.slot else None
        self._locks_again: list[HostLock] = []
        """In place of those whose files somebody removed; training has only the first ones."""
        self._stop = threading.Event()
        self._stalls, self._disk = StallWatch(), DiskWatch(run.path)
        self._kill_at: float | None = None
        self._training: subprocess.Popen[bytes] | None = None
        self._reserve = run.path / ".reserve"
        """Room for the last words, so that a full disk cannot keep a run from ending."""

    def execute(self) -> int:
        """Own the run until it has ended, and return the exit code for the worker itself."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._pass_on)
        status = self.claim()
        if status is None:
            return 1
        self._see_to_follower()
        try:
            ended = self._train(status)
            self._record_ending(ended, started=status.since)
        finally:
            self._hand_over()
        return 0 if ended.state is State.COMPLETED else 1

    def claim(self) -> Status | None:
        """Take run and slot, write that the run is running, and leave the queue.

        In this order, so that the run is never nowhere, and never started twice. Returns None where
        the run is not for this worker; it then holds nothing.
        """
        if not self._lock.take_within(LOCK_PATIENCE_S):
            return self._refuse(f"run {self.run.short_id} is already being worked on here")
        waiting = self.run.status()
        if waiting.state not in WAITING_STATES:
            return self._refuse(f"run {self.run.short_id} is {waiting.state}, not waiting")
        if self._assignment.attempt not in (None, waiting.attempt):
            return self._refuse(f"run {self.run.short_id} waits for attempt {waiting.attempt}")
        if self._slot_lock and not self._slot_lock.take_within(LOCK_PATIENCE_S):
            return self._refuse(f"slot {self._assignment.slot} is taken")
        status = waiting.enter(
            State.RUNNING,
            slot=self._assignment.slot,
            host=platform.node(),
            boot_id=boot_id(),
            lock=str(self._lock.path),
            announces=_pushes(),
        )
        self._insist_on(status)
        if self._slot_lock:
            self._slot_lock.name_holder(self.run.path)
        if self._assignment.ticket:  # wherever in the queue it has been moved meanwhile
            Queue(self._assignment.ticket.parent).remove(self.run.id)
        self._say(_started(waiting))
        return status

    def _refuse(self, sentence: str) -> None:
        """Let go of everything, and say why where a person started this worker."""
        self._let_go()
        if self._assignment.ticket is None:
            sys.stderr.write(f"{sentence}\n")

    def _let_go(self) -> None:
        for lock in filter(None, (self._slot_lock, self._lock, *self._locks_again)):
            lock.close()

    def _pass_on(self, _number: int, _frame: FrameType | None) -> None:
        """Hand a request to end to training, which keeps its work first."""
        self._stop.set()
        if self._training is not None:
            self._training.send_signal(signal.SIGTERM)

    def _record_environment(self) -> None:
        versions = {name: _version(name) for name in PACKAGES}
        write_json(
            self.run.environment_file,
            {
                "python": platform.python_version(),
                "packages": versions,
                "platform": platform.platform(),
                "hostname": platform.node(),
                "processor": _processor(),
                "gpu": _gpus(self.run),
                "threads": self._threads(),
            },
        )

    def _threads(self) -> int:
        """Return the processor cores that this run may use."""
        return self._assignment.threads or len(os.sched_getaffinity(0))

    def _train(self, status: Status) -> Status:
        """Run training as a child that shares the locks; return the status it ends in."""
        with suppress(OSError):
            self._reserve.write_bytes(bytes(RESERVE_BYTES))
        with self.run.log_file.open("ab") as log:
            self._training = subprocess.Popen(
                [sys.executable, "-m", "rlmaster.training", str(self.run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the end of our terminal is ours to pass on
                pass_fds=[lock.handle for lock in (self._lock, self._slot_lock) if lock],
                env=self._training_environment(),
            )
        with suppress(OSError):  # a full disk is training's to find out
            self._record_environment()
        if self._stop.is_set():  # the request came before there was a child to hand it to
            self._training.send_signal(signal.SIGTERM)
        status = self._wait(self._training, status)
        return self._ending(status, self._training.returncode)

    def _training_environment(self) -> dict[str, str]:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(self._threads()),
            "PYTHONUNBUFFERED": "1",
            WORKER_VARIABLE: str(os.getpid()),
        }
        if self._assignment.slot:
            environment["CUDA_VISIBLE_DEVICES"] = device_of(self._assignment.slot)
        return environment

    def _wait(self, training: subprocess.Popen[bytes], status: Status) -> Status:
        """Wait for training to end; meanwhile obey, say that we live, and show the log."""
        next_heartbeat = time.monotonic() + HEARTBEAT_S
        with self.run.log_file.open("rb") as log:
            log.seek(0, os.SEEK_END)
            while not _ended_within(training, POLL_S):
                _show(log)
                if asked := self._new_requests(status):
                    status = replace(status, answered=(*status.answered, *asked))
                    self._pass_on(signal.SIGTERM, None)
                    self._heartbeat(status)
                if self._stop.is_set():
                    self._kill_if_overdue(training)
                if time.monotonic() >= next_heartbeat:
                    next_heartbeat = time.monotonic() + HEARTBEAT_S
                    self._heartbeat(status)
            _show(log)
        return status

    def _kill_if_overdue(self, training: subprocess.Popen[bytes]) -> None:
        """Kill training that was asked to end and has not; the first call starts the clock."""
        self._kill_at = self._kill_at or time.monotonic() + STOP_DEADLINE_S
        if time.monotonic() >= self._kill_at:
            training.kill()

    def _new_requests(self, status: Status) -> list[str]:
        """Return the ids of the requests to stop that this attempt has not obeyed yet."""
        try:
            asked = stop_requests(self.run, status.attempt)
        except OSError:  # what cannot be read now is read a moment later
            return []
        return [request.id for request in asked if request.id not in status.answered]

    def _heartbeat(self, status: Status) -> None:
        with suppress(OSError):  # a full disk must not end a run that still learns
            self.run.write_status(replace(status, heartbeat=utc_now()))
            for lock in filter(None, (self._lock, self._slot_lock)):
                if again := lock.keep():
                    self._locks_again.append(again)
        with suppress(OSError):  # the disk cannot be asked now
            progress = self.run.progress()
            self._say(self._stalls.observe(progress))
            self._say(self._disk.observe(progress.step))

    def _ending(self, status: Status, code: int) -> Status:
        if code == 0:
            return status.enter(State.COMPLETED, exit_code=0)
        asked_before_it_could_listen = self._stop.is_set() and -code in STOP_SIGNALS
        if code == STOPPED_EXIT_CODE or asked_before_it_could_listen:
            return status.enter(State.STOPPED, exit_code=code, reason="it was asked to stop")
        if self._stop.is_set() and -code == signal.SIGKILL:
            reason = (
                f"it was asked to stop, had not ended after {STOP_DEADLINE_S:.0f} s and was "
                "killed; its last checkpoint counts"
            )
            return status.enter(State.STOPPED, signal=-code, reason=reason)
        if code < 0:
            reason = f"training was ended by {_signal_name(-code)}"
            if -code == signal.SIGKILL:
                reason += ", as the kernel does when memory runs out"
            return status.enter(State.FAILED, signal=-code, reason=reason)
        return status.enter(State.FAILED, exit_code=code, reason=self._last_words())

    def _last_words(self) -> str:
        """Return the last line of the log, which for an exception names it."""
        lines = self.run.last_log_lines(1)
        return lines[0][:500] if lines else "training ended without a word"

    def _record_ending(self, status: Status, started: str) -> None:
        """Write how it ended: first what explains it, last the state that readers wait for."""
        with suppress(OSError):
            self._reserve.unlink(missing_ok=True)
        kind = {State.COMPLETED: "finished", State.STOPPED: "stopped"}.get(status.state, "failed")
        message = status.reason or "training finished"
        with suppress(OSError):
            self._say(event(kind, message, int(self.run.progress().result.get("step", 0))))
            self.run.append_attempt(status.describe_attempt(started, self.run.progress().place))
        if not go_on_by_itself(self.run, status):
            self._insist_on(status)

    def _hand_over(self) -> None:
        """Free run and slot, see to what waits for them, and tell how the run ended."""
        self._let_go()
        with suppress(HostError, OSError):  # the next command that sees what waits tries again
            queue = Queue.here()
            if queue.waiting():
                start_queue_runner(queue.runner_name)
        announce_ending(self.run, self.run.path.parent.parent)
        self._see_to_follower()  # where one lives, it makes the report; else this one does

    def _see_to_follower(self) -> None:
        """Start the process that tells people of the run, and makes its report.

        Where the run is a guest, both are done where its project is; but a host that may push does.
        """
        if self.run.is_guest() and not _pushes():
            return
        with suppress(HostError):  # nobody is told and there is no report, but the run goes on
            start_follower(self.run.path)

    def _say(self, happened: Event | None) -> None:
        """Append an event, if any, unless the disk is full: a run must not end by that."""
        if happened is not None:
            with suppress(OSError):
                append_event(self.run.worker_events, happened)

    def _insist_on(self, status: Status) -> None:
        """Write a status that others wait for; on a full disk try again for a while."""
        deadline = time.monotonic() + WRITING_DEADLINE_S
        while self.run.path.exists():  # else somebody has deleted the run, and wants no more of it
            try:
                self.run.write_status(status)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
            else:
                return


def _started(waiting: Status) -> Event:
    """Return the event of a beginning, with the seconds that the run has waited in the queue."""
    message, waited_s = f"training started on {platform.node()}", 0.0
    if waiting.attempt > 1:
        message += f", attempt {waiting.attempt}"
    with suppress(ValueError):
        since = datetime.fromisoformat(waiting.since)
        waited_s = max(0.0, (datetime.now(UTC) - since).total_seconds())
    return event("started", message, waited_s=round(waited_s, 1))


def _pushes() -> bool:
    """Tell whether this computer may push notices."""
    try:
        return bool(read_user_config().push)
    except UsageError:
        return False


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _show(log: BinaryIO) -> None:
    """Show what is new in the log to whoever has attached to our terminal."""
    with suppress(OSError):  # it may be gone; the run need not
        os.write(sys.stdout.fileno(), log.read())


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the processor's name as Linux knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _gpus(run: RunFolder) -> list[str]:
    """Return the names of the GPUs here; none where they cannot be asked."""
    try:
        return [gpu.name for gpu in probe_local(run.path).gpus or ()]
    except HostError:
        return []


def _parse(arguments: list[str]) -> tuple[RunFolder, Assignment]:
    parser = argparse.ArgumentParser(prog="rlmaster.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int)
    parser.add_argument("--ticket", type=Path)
    parser.add_argument("--slot", default="")
    parser.add_argument("--threads", type=int)
    given, _ = parser.parse_known_args(arguments)  # a later queue runner may give more
    assignment = Assignment(given.attempt, given.ticket, given.slot, given.threads)
    return RunFolder(given.run.resolve()), assignment


if __name__ == "__main__":
    sys.exit(Worker(*_parse(sys.argv[1:])).execute())
