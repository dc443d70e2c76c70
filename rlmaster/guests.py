"""Runs that are made here for a project on another computer: taken in, and let go again."""

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rlmaster import lifecycle
from rlmaster.errors import HostError, LaunchError, RunFolderError
from rlmaster.hosts.queue import Queue
from rlmaster.hosts.slots import SlotRules
from rlmaster.placement import machine
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import FINAL_STATES, WAITING_STATES, State, Status
from rlmaster.starting import wait_for_worker

POLL_S = 0.02


def adopt(run: RunFolder, attempt: int, rules: SlotRules) -> str:
    """Begin with an attempt of a run that was handed over to this computer; what has begun goes on.

    Args:
        run: The run, whose placement is here.
        attempt: The attempt that is wanted.
        rules: How many runs this computer is given at a time.

    Returns:
        Why it does not start yet; nothing where it has started, or ended.

    Raises:
        HostError: If the queue cannot be written.
        RunFolderError: If the run cannot be begun with, or an earlier attempt does not end.
    """
    Queue.here().write_rules(rules)
    deadline = time.monotonic() + lifecycle.STOP_DEADLINE_S
    while (status := see_to_attempt(run, attempt)).attempt < attempt:
        if time.monotonic() > deadline:
            raise RunFolderError(f"attempt {status.attempt} of run {run.short_id} does not end")
        time.sleep(POLL_S)
    if status.state in WAITING_STATES:
        with suppress(LaunchError):  # its status says so too
            return wait_for_worker(run)
    return ""


def see_to_attempt(run: RunFolder, attempt: int) -> Status:
    """See to it that an attempt of a run waits here, whatever has been done about it before.

    An earlier attempt that still lives, since somebody gave it up from afar, is told to stop first:
    to be called until the attempt that it returns is the one asked for.

    Raises:
        RunFolderError: If it cannot be made here.
        HostError: If it cannot be queued.
    """
    _take_back(run)
    status = lifecycle.look_after(run)
    if status.state is State.PREPARED:
        raise HostError(f"run {run.short_id} cannot be queued here: no room, or it is locked")
    if status.attempt >= attempt:
        return status
    if status.state not in FINAL_STATES:
        return lifecycle.stop(run)
    return lifecycle.resume(run, attempt)


def _take_back(run: RunFolder) -> None:
    """Make a run here that was released, since it is asked for again with all that it has here."""
    placement = run.placement()
    if placement and not placement.machine and Path(placement.folder) == run.path.absolute():
        run.write_placement(replace(placement, machine=machine()))


def release(run: RunFolder) -> Status:
    """End a run that is made elsewhere now; once it has ended, nobody resumes it here.

    To be called until the state that it returns is a final one.
    """
    placement = run.placement()
    if placement is None or not run.is_here():
        return run.status()
    status = lifecycle.stop(run)
    if status.state in FINAL_STATES:
        run.write_placement(replace(placement, machine=""))
    return status
