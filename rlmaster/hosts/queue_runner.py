"""`python -m rlmaster.hosts.queue_runner`: starts waiting runs in order as slots free up.

One lives on a computer for an account, and only while something waits: whoever puts a ticket there,
or sees one without a queue runner, starts it. It holds nothing that matters: killed at any moment,
the next one goes on from the tickets and the locks. A slot is taken by its lock, which the worker
holds, so even two queue runners could never put two runs on one.
"""

import sys
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from rlmaster.errors import HostError
from rlmaster.hosts.local import start_follower, start_worker
from rlmaster.hosts.probe import Probe
from rlmaster.hosts.probing import probe_local, unmeasured
from rlmaster.hosts.queue import Queue, Ticket, Waiting
from rlmaster.hosts.slots import all_slots, is_usable
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import QueueRunnerLock, RunLock, SlotLock, is_free, is_locked
from rlmaster.run_status import WAITING_STATES, State

POLL_S = 0.1
"""What passes at most between a slot's freeing and the next run's start."""
START_DEADLINE_S = 30.0
"""A worker that loads no torch begins within a second; a busy machine gets this long."""
SILENCE_S = 2.0
"""How long a worker that has written something may take to take its lock."""
GPU_LOOK_S = 2.0
"""Between two looks at GPUs on which somebody else computes."""
LOCK_PATIENCE_S = 1.0
"""Who only asks whether a lock is held has it for a moment."""


@dataclass(frozen=True)
class Start:
    """A worker that was started and has not taken its slot yet."""

    waiting: Waiting
    run: RunFolder
    since: float
    log_bytes: int
    """Size of the run's log before."""


class QueueRunner:
    """Starts runs until nothing waits."""

    def __init__(self, queue: Queue) -> None:
        """Begin with what the tickets and the locks say."""
        self._queue = queue
        self._starts: dict[str, Start] = {}
        """By slot."""
        self._probe = _probe()
        self._next_gpu_look = 0.0

    def execute(self) -> None:
        """Start what waits, in order, until nothing does."""
        while self._queue.waiting() and not self._queue.is_drained:
            self.step()
            time.sleep(POLL_S)

    def step(self) -> None:
        """Look once: what became of the workers that were started, and what can start now."""
        for slot, start in list(self._starts.items()):
            if self._has_begun(start) or self._has_failed(start, slot):
                del self._starts[slot]
        under_way = {start.waiting.run_id for start in self._starts.values()}
        ready = [waiting for waiting in self._queue.waiting() if waiting.run_id not in under_way]
        for slot in self._free_slots() if ready else []:
            while ready and not self._start(ready.pop(0), slot):
                pass

    # ---------------------------------------------------------------------------- free slots

    def _free_slots(self) -> list[str]:
        if self._probe.gpus is None:  # nothing may compute on cores that was meant for a GPU
            self._look_at_gpus()
            return []
        slots = all_slots(self._probe, self._queue.rules())
        taken = {slot for slot in slots if slot in self._starts or not is_free(SlotLock(slot))}
        free = [slot for slot in slots if slot not in taken]
        return self._usable(free, taken) if free and self._probe.gpus else free

    def _usable(self, free: list[str], taken: Collection[str]) -> list[str]:
        """Leave out GPUs on which somebody else computes, as they say it themselves just now."""
        if not self._look_at_gpus():
            return []
        usable = [slot for slot in free if is_usable(slot, self._probe, taken)]
        if usable:
            self._next_gpu_look = 0.0
        return usable

    def _look_at_gpus(self) -> bool:
        """Ask the GPUs, unless that was done in vain a moment ago; tell whether they were asked."""
        if time.monotonic() < self._next_gpu_look:
            return False
        self._next_gpu_look = time.monotonic() + GPU_LOOK_S
        self._probe = _probe()
        return True

    # --------------------------------------------------------------------------- one worker

    def _start(self, waiting: Waiting, slot: str) -> bool:
        """Start the worker of a run that waits, and tell whether the slot is used now."""
        ticket = waiting.ticket()
        if ticket is None or not _is_valid(ticket):
            waiting.path.unlink(missing_ok=True)
            return False
        run = RunFolder(Path(ticket.run_folder))
        log_bytes = _size(run.log_file)
        arguments = {
            "--attempt": str(ticket.attempt),
            "--ticket": str(waiting.path),
            "--slot": slot,
            "--threads": str(ticket.threads),
        }
        try:
            start_worker(
                run.path,
                python=ticket.python,
                code_folder=Path(ticket.code_folder),
                arguments=list(chain.from_iterable(arguments.items())),
                environment=ticket.environment,
            )
        except (HostError, OSError) as error:
            self._give_up(waiting, run, f"its worker could not be started: {error}")
            return False
        self._starts[slot] = Start(waiting, run, time.monotonic(), log_bytes)
        return True

    def _has_begun(self, start: Start) -> bool:
        """Tell whether the worker has taken its slot, after which it removes its ticket."""
        return self._queue.find(start.waiting.run_id, start.waiting.attempt) is None

    def _has_failed(self, start: Start, slot: str) -> bool:
        """Tell whether the worker will never begin; unless it only came too late, write why."""
        waited_s = time.monotonic() - start.since
        if is_locked(start.run.id):
            return False
        if waited_s > SILENCE_S and not is_free(SlotLock(slot)):
            return True
        # A log without a lock may be a warning at start-up; one that stays alone is a last word.
        if waited_s > SILENCE_S and _size(start.run.log_file) > start.log_bytes:
            (words,) = start.run.last_log_lines(1) or [""]
            self._give_up(start.waiting, start.run, f"its worker did not start: {words}")
            return True
        if waited_s > START_DEADLINE_S:
            words = f"its worker did not start: it said nothing for {START_DEADLINE_S:.0f} s"
            self._give_up(start.waiting, start.run, words)
            return True
        return False

    def _give_up(self, waiting: Waiting, run: RunFolder, reason: str) -> None:
        """Write that a run failed before it began, unless its worker has come after all."""
        with RunLock(run.id) as lock:
            if not lock.take():
                return
            status = run.status()
            if status.state in WAITING_STATES and status.attempt == waiting.attempt:
                with suppress(OSError):  # on a full disk it is tried again, as the ticket is there
                    run.write_status(status.enter(State.FAILED, reason=reason))
                    waiting.path.unlink(missing_ok=True)
        with suppress(HostError):
            start_follower(run.path)  # there was no worker to tell anybody


def _is_valid(ticket: Ticket) -> bool:
    """Tell whether a ticket's attempt still waits."""
    run = RunFolder(Path(ticket.run_folder))
    status = run.status()
    return run.exists() and status.state in WAITING_STATES and status.attempt == ticket.attempt


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _probe() -> Probe:
    try:
        return probe_local(Path.home())
    except HostError as error:
        return unmeasured(str(error))


def main() -> int:
    """Run the queue of this computer, unless somebody does; return the exit code."""
    queue = Queue.here()
    # Whoever puts a ticket there while the lock is still held relies on the second look after it.
    while queue.waiting() and not queue.is_drained:
        with QueueRunnerLock() as lock:
            if not lock.take_within(LOCK_PATIENCE_S):
                return 0
            QueueRunner(queue).execute()
    return 0


if __name__ == "__main__":
    sys.exit(main())
