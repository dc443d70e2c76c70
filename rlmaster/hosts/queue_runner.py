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
from rlmaster.hosts.local import StartedProcess, start_follower, start_worker
from rlmaster.hosts.probe import Probe
from rlmaster.hosts.probing import probe_local, unmeasured
from rlmaster.hosts.queue import Queue, Ticket, Waiting
from rlmaster.hosts.slots import all_slots, is_usable
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import QueueRunnerLock, RunLock, SlotLock, is_free, is_locked
from rlmaster.run_status import WAITING_STATES, State

POLL_S = 0.1
"""What passes at most between a slot's freeing and the next run's start."""
START_DEADLINE_S = 120.0
"""A worker that loads no torch begins within a second; a busy or cold machine gets this long."""
GPU_LOOK_S = 2.0
"""Between two looks at GPUs on which somebody else computes."""
SHORTAGE_S = 5.0
"""How long nothing is started after this computer could start nothing."""
LOCK_PATIENCE_S = 1.0
"""Who only asks whether a lock is held has it for a moment."""


@dataclass(frozen=True)
class Start:
    """A worker that was started and has not taken its slot yet."""

    waiting: Waiting
    run: RunFolder
    process: StartedProcess
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
        self._next_start = 0.0
        self._workers: list[StartedProcess] = []
        """Those that are our children, where there is no tmux: asked whether they live, they go."""

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
        self._workers = [worker for worker in self._workers if worker.lives()]
        under_way = {start.waiting.run_id for start in self._starts.values()}
        ready = [waiting for waiting in self._queue.waiting() if waiting.run_id not in under_way]
        for slot in self._free_slots() if ready else []:
            while ready and time.monotonic() >= self._next_start:
                if self._start(ready.pop(0), slot):
                    break

    # ---------------------------------------------------------------------------- free slots

    def _free_slots(self) -> list[str]:
        if self._probe.gpus is None:  # nothing may compute on cores that was meant for a GPU
            self._look_at_gpus()
            return []
        slots = all_slots(self._probe, self._queue.rules())
        taken = {slot for slot in slots if slot in self._starts or not is_free(SlotLock(slot))}
        free = [slot for slot in slots if slot not in taken]
        if self._probe.gpus and free:
            return self._usable(slots, free, taken)
        self._queue.write_slots(slots)
        return free

    def _usable(self, slots: Collection[str], free: list[str], taken: Collection[str]) -> list[str]:
        """Leave out GPUs on which somebody else computes, as they say it themselves just now."""
        if not self._look_at_gpus():
            return []
        usable = [slot for slot in free if is_usable(slot, self._probe, taken)]
        self._queue.write_slots(list(slots), [slot for slot in free if slot not in usable])
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
            _discard(waiting)
            return False
        run = RunFolder(Path(ticket.run_folder))
        if not Path(ticket.code_folder, "rlmaster").is_dir():
            self._give_up(waiting, run, f"its code is gone from {ticket.code_folder}")
            return False
        arguments = {
            "--attempt": str(ticket.attempt),
            "--ticket": str(waiting.path),
            "--slot": slot,
            "--threads": str(ticket.threads),
        }
        log_bytes = _size(run.log_file)
        try:
            process = start_worker(
                run.path,
                python=ticket.python,
                code_folder=Path(ticket.code_folder),
                arguments=list(chain.from_iterable(arguments.items())),
                environment=ticket.environment,
            )
        except (HostError, OSError) as error:  # no room, no processes: it may have some again
            _log(f"run {run.short_id} cannot be started now: {error}")
            self._next_start = time.monotonic() + SHORTAGE_S
            return False
        self._starts[slot] = Start(waiting, run, process, time.monotonic(), log_bytes)
        if process.pid is not None:
            self._workers.append(process)
        return True

    def _has_begun(self, start: Start) -> bool:
        """Tell whether the worker has taken its slot, after which it removes its ticket."""
        return self._queue.find(start.waiting.run_id, start.waiting.attempt) is None

    def _has_failed(self, start: Start, slot: str) -> bool:
        """Tell whether the worker will never begin; unless it only came too late, write why."""
        waited_s = time.monotonic() - start.since
        if is_locked(start.run.id) or (waited_s <= START_DEADLINE_S and start.process.lives()):
            return False
        if self._has_begun(start) or not is_free(SlotLock(slot)):
            return True
        words = f"it said nothing for {START_DEADLINE_S:.0f} s"
        if not start.process.lives():
            words = "it ended without a word"
        if _size(start.run.log_file) > start.log_bytes:
            (words,) = start.run.last_log_lines(1) or [words]
        self._give_up(start.waiting, start.run, f"its worker did not start: {words}")
        return True

    def _give_up(self, waiting: Waiting, run: RunFolder, reason: str) -> None:
        """Write that a run failed before it began, unless its worker has come after all."""
        try:
            with RunLock(run.id) as lock:
                if not lock.take():
                    return
                status = run.status()
                if status.state in WAITING_STATES and status.attempt == waiting.attempt:
                    run.write_status(status.enter(State.FAILED, reason=reason))
                    waiting.path.unlink(missing_ok=True)
            start_follower(run.path)  # there was no worker to tell anybody
        except (HostError, OSError) as error:  # tried again, as long as the ticket is there
            _log(f"run {run.short_id} has failed ({reason}), which cannot be written: {error}")


def _is_valid(ticket: Ticket) -> bool:
    """Tell whether a ticket's attempt still waits."""
    run = RunFolder(Path(ticket.run_folder))
    status = run.status()
    return run.exists() and status.state in WAITING_STATES and status.attempt == ticket.attempt


def _discard(waiting: Waiting) -> None:
    """Throw away a ticket that means nothing; one that another version may understand stays.

    Under the run lock, for whoever queues a run writes its ticket first and then its status.
    """
    with suppress(HostError, OSError), RunLock(waiting.run_id) as lock:
        if lock.take():
            ticket = waiting.ticket()
            if waiting.is_damaged or (ticket is not None and not _is_valid(ticket)):
                waiting.path.unlink(missing_ok=True)


def _log(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _probe() -> Probe:
    try:
        return probe_local(Path("/"))
    except (HostError, OSError) as error:
        return unmeasured(str(error))


def main() -> int:
    """Run the queue of this computer, unless somebody does; return the exit code."""
    queue = Queue.here()
    # Whoever puts a ticket there while the lock is still held relies on the second look after it.
    while queue.waiting() and not queue.is_drained:
        with QueueRunnerLock(queue.runner_name) as lock:
            if not lock.take_within(LOCK_PATIENCE_S):
                return 0
            QueueRunner(queue).execute()
    return 0


if __name__ == "__main__":
    sys.exit(main())
