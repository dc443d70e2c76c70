"""Seeing a queued run of this computer begin, or finding out what it waits for."""

import time
from collections.abc import Callable

from rlmaster import lifecycle
from rlmaster.errors import LaunchError
from rlmaster.hosts.local import attach_command
from rlmaster.hosts.queue import Queue
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import held_slots
from rlmaster.run_status import WAITING_STATES

POLL_S = 0.02
WAKE_S = 1.0
"""Between two looks whether the queue runner lives."""
LEAST_WAIT_S = 1.0
"""Where there is a slot, a run usually starts within this."""
LONGEST_WAIT_S = 35.0
"""By then a worker usually has started, or has been given up."""

Say = Callable[[str], None]


def await_start(run: RunFolder, host: str, say: Say) -> None:
    """Return once a queued run of this computer has begun, or is known to wait for others.

    Raises:
        LaunchError: If its worker does not begin.
        HostError: If there is no process that would start it.
    """
    if waits := wait_for_worker(run):
        say(f"{waits}. `rlmaster queue` shows what waits")
        return
    command = attach_command(run.path)
    say(f"the worker runs on {host}" + (f"\n{command} shows its terminal" if command else ""))


def wait_for_worker(run: RunFolder) -> str:
    """Wait until a queued run of this computer has begun, or is known to wait; return why it does.

    Raises:
        LaunchError: If its worker does not begin.
        HostError: If there is no process that would start it.
    """
    begun, next_wake = time.monotonic(), 0.0
    while (status := lifecycle.look_after(run)).state in WAITING_STATES:
        if time.monotonic() >= next_wake:
            next_wake = time.monotonic() + WAKE_S
            lifecycle.wake_queue_runner()
        if waits := _why_it_waits(run, time.monotonic() - begun):
            return waits
        time.sleep(POLL_S)
    if not status.lock:  # no worker ever had it
        raise LaunchError(f"{status.state}: {status.reason}; {run.log_file} has the rest")
    return ""


def _why_it_waits(run: RunFolder, waited_s: float) -> str:
    """Return why a run does not start yet; nothing where it may start at any moment."""
    queue = Queue.here()
    if queue.is_drained:
        return "the queue is drained; it starts after `rlmaster queue open`"
    slots, foreign = queue.slots(), queue.slots_in_foreign_use()
    all_taken = bool(slots) and set(slots) <= {*held_slots(), *foreign}
    ahead = queue.position(run.id) or 0
    is_sure = waited_s >= LEAST_WAIT_S or ahead > 0  # the first in the queue may start any moment
    if not is_sure or not (all_taken or waited_s > LONGEST_WAIT_S):
        return ""
    others = f" behind {ahead} other{'s'[: ahead != 1]}" if ahead else ""
    busy = ", since somebody else computes on the GPU" if foreign else ""
    return f"it waits for a slot{others}{busy}, and starts by itself"
