"""The worker: owns one run on the computer where it executes, and records how it ended.

`python -m rlmaster.worker RUN_FOLDER` takes the run lock, starts training as its child, says every
few seconds that it lives, and writes the ending. It loads no torch, so it costs next to nothing.
"""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import FrameType

from rlmaster.durable_files import utc_now, write_json
from rlmaster.errors import HostError
from rlmaster.events import Event, append_event, event
from rlmaster.hosts.probing import probe_local
from rlmaster.run_folder import WORKER_VARIABLE, RunFolder
from rlmaster.run_lock import RunLock, boot_id
from rlmaster.run_status import STOPPED_EXIT_CODE, State, Status

HEARTBEAT_S = 5.0
POLL_S = 0.2
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ENDING_DEADLINE_S = 60.0
"""How long the ending is tried to be written on a disk that is full."""
RESERVE_BYTES = 2**16
PACKAGES = ("torch", "numpy", "gymnasium", "ale-py", "tensorboard", "safetensors", "rlmaster")


class Worker:
    """Runs one attempt of one run, from the lock to the last line of its status."""

    def __init__(self, run: RunFolder) -> None:
        """Prepare to own a run; nothing is taken yet."""
        self.run = run
        self._lock = RunLock(run.id)
        self._stop = threading.Event()
        self._training: subprocess.Popen[bytes] | None = None
        self._reserve = run.path / ".reserve"
        """Room for the last words, so that a full disk cannot keep a run from ending."""

    def execute(self) -> int:
        """Own the run until it has ended, and return the exit code for the worker itself."""
        if not self._lock.take():
            return _refuse(f"run {self.run.short_id} is already being worked on here")
        status = self.run.status()
        if status.state is not State.PREPARED:
            return _refuse(f"run {self.run.short_id} is {status.state}, not prepared")
        for number in STOP_SIGNALS:
            signal.signal(number, self._pass_on)
        where = {"host": platform.node(), "boot_id": boot_id(), "lock": str(self._lock.path)}
        status = status.enter(State.RUNNING, attempt=1, **where)
        self.run.write_status(status)
        ended = self._train(status)
        self._record_ending(ended, started=status.since)
        return 0 if ended.state is State.COMPLETED else 1

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
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
                "threads": _threads(),
            },
        )

    def _train(self, status: Status) -> Status:
        """Run training as a child that shares the lock; return the status it ends in."""
        threads = str(_threads())
        with suppress(OSError):
            self._reserve.write_bytes(bytes(RESERVE_BYTES))
        with self.run.log_file.open("ab") as log:
            self._training = subprocess.Popen(
                [sys.executable, "-m", "rlmaster.training", str(self.run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[self._lock.handle],
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": threads,
                    "PYTHONUNBUFFERED": "1",
                    WORKER_VARIABLE: str(os.getpid()),
                },
            )
        with suppress(OSError):  # a full disk is training's to find out
            self._record_environment()
        self._say(event("started", f"training started on {platform.node()}"))
        if self._stop.is_set():  # the request came before there was a child to hand it to
            self._training.send_signal(signal.SIGTERM)
        self._wait(self._training, status)
        return self._ending(status, self._training.returncode)

    def _wait(self, training: subprocess.Popen[bytes], status: Status) -> None:
        """Wait for training to end; meanwhile heartbeat, and show the log to whoever attached."""
        with self.run.log_file.open("rb") as log:
            waited_s = 0.0
            while True:
                ended = _ended_within(training, POLL_S)
                with suppress(OSError):  # the terminal may be gone; the run need not
                    os.write(sys.stdout.fileno(), log.read())
                if ended:
                    return
                waited_s += POLL_S
                if waited_s >= HEARTBEAT_S:
                    waited_s = 0.0
                    with suppress(OSError):  # a full disk must not end a run that still learns
                        self.run.write_status(replace(status, heartbeat=utc_now()))
                        self._lock.touch()

    def _ending(self, status: Status, code: int) -> Status:
        if code == 0:
            return status.enter(State.COMPLETED, exit_code=0)
        asked_before_it_could_listen = self._stop.is_set() and -code in STOP_SIGNALS
        if code == STOPPED_EXIT_CODE or asked_before_it_could_listen:
            return status.enter(State.STOPPED, exit_code=code, reason="it was asked to stop")
        if code < 0:
            name = signal.Signals(-code).name
            reason = f"training was ended by {name}"
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
        self._reserve.unlink(missing_ok=True)
        kind = {State.COMPLETED: "finished", State.STOPPED: "stopped"}.get(status.state, "failed")
        message = status.reason or "training finished"
        self._say(event(kind, message, int(self.run.progress().result.get("step", 0))))
        attempt = {
            "attempt": status.attempt,
            "host": platform.node(),
            "start": started,
            "end": status.since,
            "state": status.state,
            "reason": status.reason,
        }
        with suppress(OSError):
            self.run.append_attempt(attempt)
        self._insist_on(status)

    def _say(self, happened: Event) -> None:
        """Append an event, unless the disk is full: how a run ends must not hang on that."""
        with suppress(OSError):
            append_event(self.run.worker_events, happened)

    def _insist_on(self, status: Status) -> None:
        """Write the last status; on a full disk try again for a while."""
        deadline = time.monotonic() + ENDING_DEADLINE_S
        while True:
            try:
                self.run.write_status(status)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
            else:
                return


def _refuse(sentence: str) -> int:
    """Say why this worker does nothing, and return its exit code."""
    sys.stderr.write(f"{sentence}\n")
    return 1


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


def _threads() -> int:
    """Return the processor cores that this run may use."""
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    sys.exit(Worker(RunFolder(Path(sys.argv[1]).resolve())).execute())
