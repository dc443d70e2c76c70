"""What happens to a run from outside: it is queued, looked after, stopped, resumed.

Whatever is written here is written under the run lock, so it never meets a worker, and in an order
that may be cut anywhere: the next who looks after the run goes on from there.
"""

import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rlmaster.durable_files import read_json, utc_now
from rlmaster.errors import HostError, RlmasterError, RunFolderError
from rlmaster.events import append_event, event, moment_of
from rlmaster.experiment_data import budget_field
from rlmaster.hosts.local import start_queue_runner
from rlmaster.hosts.queue import Queue, Ticket
from rlmaster.launched_experiment import require_as_launched
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_lock import HostLock, RunLock, boot_id
from rlmaster.run_requests import ask_to_stop, stop_requests
from rlmaster.run_status import FINAL_STATES, WAITING_STATES, State, Status

STOP_DEADLINE_S = 90.0
"""Longer than a worker waits before it kills training that does not end."""
POLL_S = 0.1
LOCK_PATIENCE_S = 2.0
"""Who only asks whether a lock is held has it for a moment."""
SILENCE = timedelta(minutes=1)
"""A worker says every few seconds that it lives."""
MOST_AT_ONE_PLACE = 3
"""A run that was killed so often without a step between is not resumed by itself once more."""
LAUNCH_IS_FORGOTTEN_AFTER = timedelta(hours=1)
"""A launch that was cut is completed by whoever sees it, but nobody expects that the next day."""


# ----------------------------------------------------------------------------------- queueing


def enqueue(run: RunFolder, status: Status, python: str | None = None) -> None:
    """Let a run wait for a slot; the caller holds its lock.

    Args:
        run: The run; its provenance says with which code, Python and threads it will be made.
        status: What it is from now on, in the state `queued`.
        python: Another interpreter than provenance says.

    Raises:
        HostError: If the queue cannot be written.
        RunFolderError: If the code that it needs is gone.
    """
    Queue.here().put(_ticket(run, status.attempt, python))
    run.write_status(status)


def wake_queue_runner() -> None:
    """See to it that waiting runs are started; costs next to nothing where nothing waits.

    Raises:
        HostError: If no process can be started.
    """
    queue = Queue.here()
    if queue.waiting() and not queue.is_drained:
        start_queue_runner(queue.runner_name)


def _ticket(run: RunFolder, attempt: int, python: str | None = None) -> Ticket:
    choice, placement = run.host_choice(), run.placement()
    if placement:
        choice = {"python": placement.python, "threads": placement.threads}
    return Ticket(
        run_id=run.id,
        run_folder=str(run.path.absolute()),
        attempt=attempt,
        python=python or str(choice.get("python") or sys.executable),
        code_folder=str(run.code_folder().absolute()),
        threads=int(choice.get("threads") or 1),
        environment=dict(os.environ),
        queued=utc_now(),
    )


# ------------------------------------------------------------------------------- looking after


def look_after(run: RunFolder, waiting: Collection[str] | None = None) -> Status:
    """Return how a run stands, after doing what nobody else is left to do.

    A run that claims to be running here while its lock is free is lost, and goes on by itself where
    its experiment says so. One that waits here without a ticket, since its launch was cut, is given
    one. A run on another computer is left alone: what is here is a mirror, or a shared disk.

    Args:
        run: The run.
        waiting: Ids of the runs that have a ticket, where many runs are looked after at once.
    """
    status = run.status()
    if not run.is_here():
        return status
    if status.state is State.RUNNING and status.boot_id == boot_id():
        return _mark_lost(run, status, "its worker was killed, and training ended with it")
    if status.state is State.RUNNING and status.host == platform.node():
        return _mark_lost(run, status, f"{status.host} was restarted")
    if status.state in WAITING_STATES and _waits_here(run, status):
        if waiting is None:
            waiting = {ticket.run_id for ticket in Queue.here().waiting()}
        if run.id not in waiting:
            return _requeue(run, status)
    return status


def _waits_here(run: RunFolder, status: Status) -> bool:
    """Tell whether a run that is here waits for this computer, and is no copy of one that does."""
    if run.placement():
        return True
    choice = run.host_choice()
    made_in = Path(str(choice.get("folder") or run.path))
    is_copy = made_in != run.path.absolute() and RunFolder(made_in).exists()
    return (status.host or choice.get("computer")) == platform.node() and not is_copy


def _mark_lost(run: RunFolder, seen: Status, reason: str) -> Status:
    """Write that a run is lost, unless somebody holds its lock or has written its end."""
    try:
        if seen.boot_id != boot_id() or not seen.lock:
            lock = RunLock(run.id)
        else:
            lock = HostLock(Path(seen.lock), make=False)
    except FileNotFoundError:  # removed, or in another /tmp than ours: what is heard of it counts
        if abs(datetime.now(UTC) - moment_of(seen.heartbeat)) < SILENCE:
            return seen
        lock = RunLock(run.id)
    except OSError:
        return seen
    with lock:
        if not lock.take() or (status := run.status()).state is not State.RUNNING:
            return run.status()
        lost = status.enter(State.LOST, reason=reason)
        with suppress(OSError):  # who cannot write there can still be told
            run.append_attempt(lost.describe_attempt(status.since, run.progress().place))
            if queued := go_on_by_itself(run, lost):
                return queued
            run.write_status(lost)
        return lost


def _requeue(run: RunFolder, seen: Status) -> Status:
    """Complete a launch, or a resume, that was cut before the run had its ticket."""
    with RunLock(run.id) as lock:
        if not lock.take() or (status := run.status()) != seen:
            return run.status()  # somebody is at it
        old = datetime.now(UTC) - run.created > LAUNCH_IS_FORGOTTEN_AFTER
        try:
            if status.state is State.PREPARED and old and not run.placement():
                reason = f"its launch was interrupted; `rlmaster resume {run.short_id}` starts it"
                status = status.enter(State.FAILED, reason=reason)
                run.write_status(status)
            elif status.state is State.PREPARED:
                status = status.enter(State.QUEUED, host=platform.node())
                enqueue(run, status)
            else:
                Queue.here().put(_ticket(run, status.attempt))
        except RunFolderError as error:
            status = status.enter(State.FAILED, reason=str(error))
            with suppress(OSError):
                run.write_status(status)
        except (HostError, OSError):  # the disk is full, say; the next look tries again
            return seen
        return status


def go_on_by_itself(run: RunFolder, ended: Status) -> Status | None:
    """Queue the next attempt of a run that was ended from outside, if its experiment says so.

    The caller holds its lock, has noted the attempt, and has not written that it ended: readers see
    a run that waits again.

    Args:
        run: A run that is here.
        ended: How it ended.

    Returns:
        The status that was written; None where the ending counts.
    """
    killed = ended.state is State.FAILED and ended.signal == signal.SIGKILL
    if not (killed or ended.state is State.LOST) or ended.host != platform.node():
        return None
    if (read_json(run.config_file) or {}).get("on_lost") != "resume" or _dies_in_place(run):
        return None
    if stop_requests(run, ended.attempt):  # it was to end, and has
        return None
    try:
        queued = _queue_next_attempt(run, ended)
    except (RlmasterError, OSError):  # its code is gone, the disk is full, ...
        return None
    message = f"{ended.reason}; it goes on by itself as attempt {queued.attempt}"
    with suppress(OSError):
        append_event(run.worker_events, event("resumed_by_itself", message, run.progress().step))
    return queued


def _dies_in_place(run: RunFolder) -> bool:
    """Tell whether the last attempts all ended at one place; that is left to a person."""
    places = [str(attempt.get("place")) for attempt in run.attempts()[-MOST_AT_ONE_PLACE:]]
    return len(places) == MOST_AT_ONE_PLACE and len(set(places)) == 1


# ---------------------------------------------------------------------------- stop and resume


def abandon(run: RunFolder) -> Status:
    """Write that a run of a computer that cannot be asked is lost, so that it can be resumed here.

    Raises:
        RunFolderError: If it does not run, or somebody has been heard of it a moment ago.
    """
    status = look_after(run)
    if status.state not in (*WAITING_STATES, State.RUNNING) or status.host == platform.node():
        raise RunFolderError(f"run {run.short_id} is {status.state}; nobody else has it")
    if abs(datetime.now(UTC) - moment_of(status.heartbeat)) < SILENCE:
        raise RunFolderError(f"run {run.short_id} is alive on {status.host}; stop it there")
    reason = f"{status.host} could not be asked, and somebody gave it up"
    with RunLock(run.id) as lock:
        if not lock.take_within(LOCK_PATIENCE_S):
            raise RunFolderError(f"run {run.short_id} is still being worked on")
        end = State.LOST if status.state is State.RUNNING else State.STOPPED
        given_up = status.enter(end, reason=reason)
        run.append_attempt(given_up.describe_attempt(status.since, run.progress().place))
        run.write_status(given_up)
        return given_up


def stop(run: RunFolder) -> Status:
    """Take a run out of the queue, or ask it to keep its work and end; return how it stands now.

    A run that is being worked on ends within about 20 s; `look_after` says when.

    Raises:
        RunFolderError: If the request cannot be written.
        HostError: If it runs on another computer, or the queue cannot be changed.
    """
    status = look_after(run)
    if status.state in WAITING_STATES:
        status = _withdraw(run)
    if status.state is State.RUNNING:
        if status.host != platform.node() and status.boot_id != boot_id():
            raise HostError(
                f"run {run.short_id} runs on {status.host}; stop it there, or give it up with "
                "--abandon if that computer is gone"
            )
        ask_to_stop(run, status.attempt)
    return status


def await_end(run: RunFolder, look: Callable[[], Status] | None = None) -> Status:
    """Return how a run stands that was asked to end, once it has.

    Args:
        run: The run.
        look: Tells how it stands; by default `look_after` does.

    Raises:
        RunFolderError: If it does not end.
    """
    deadline = time.monotonic() + STOP_DEADLINE_S
    while (status := look() if look else look_after(run)).state not in FINAL_STATES:
        if time.monotonic() > deadline:
            raise RunFolderError(
                f"run {run.short_id} has not ended within {STOP_DEADLINE_S:.0f} s; "
                f"{run.log_file} says what it is doing"
            )
        time.sleep(POLL_S)
    return status


def _withdraw(run: RunFolder) -> Status:
    """Take a run out of the queue; one whose worker comes at this moment is left as it is."""
    with RunLock(run.id) as lock:
        if not lock.take_within(LOCK_PATIENCE_S):
            return run.status()
        status = run.status()
        if status.state in WAITING_STATES:
            status = status.enter(State.STOPPED, reason="it was taken out of the queue")
            run.write_status(status)
            if _ticket_folder(run.id) in (None, run.path.absolute()):  # not that of a copy
                Queue.here().remove(run.id)
        return status


def _ticket_folder(run_id: str) -> Path | None:
    """Return which folder a waiting run's ticket is for; None where it has none."""
    waiting = Queue.here().find(run_id)
    ticket = waiting.ticket() if waiting else None
    return Path(ticket.run_folder) if ticket else None


def resume(run: RunFolder, attempt: int | None = None) -> Status:
    """Queue the next attempt of a run that was stopped, failed or lost; return its status.

    Args:
        run: The run.
        attempt: Its number, where others were made elsewhere; by default the next one.

    Raises:
        RunFolderError: If it cannot be resumed, with what can be done instead.
        UsageError: If its configuration was changed, with what makes a new run of that.
        HostError: If the queue cannot be written.
    """
    if not run.is_here():
        raise RunFolderError(f"run {run.short_id} is made on another computer now")
    state = look_after(run).state
    refuse_completed(run, state)
    with RunLock(run.id) as lock:
        if state is State.RUNNING or not lock.take_within(LOCK_PATIENCE_S):
            raise RunFolderError(f"run {run.short_id} is still being worked on")
        if not run.exists():
            raise RunFolderError(
                f"run {run.short_id} was deleted; `rlmaster restore` brings it back"
            )
        status = run.status()
        if status.state in WAITING_STATES:
            raise RunFolderError(f"run {run.short_id} waits in the queue already")
        queued = _queue_next_attempt(run, status, attempt)
    with RunIndex(run.path.parent.parent) as index:  # which does not look again at what has ended
        index.refresh(run)
    return queued


def refuse_completed(run: RunFolder, state: State) -> None:
    """Refuse to resume a run that has nothing left to do.

    Raises:
        RunFolderError: If it is completed, with what can be done instead.
    """
    if state is State.COMPLETED:
        budget = budget_field(read_json(run.config_file) or {})
        raise RunFolderError(
            f"run {run.short_id} is completed; `rlmaster branch {run.short_id} --set {budget}=...` "
            "makes a new run that goes on from it"
        )


def _queue_next_attempt(run: RunFolder, ended: Status, attempt: int | None = None) -> Status:
    """Let a run that has ended wait for its next attempt; the caller holds its lock."""
    require_as_launched(run)
    for request in run.requests.glob("*.json"):  # of attempts that have ended
        request.unlink(missing_ok=True)
    queued = ended.next_attempt(platform.node())
    queued = replace(queued, attempt=attempt or queued.attempt)
    placement = run.placement()
    known = placement.python if placement else str(run.host_choice().get("python") or "")
    is_there = shutil.which(Path(known).expanduser()) is not None
    enqueue(run, queued, python=known if is_there else sys.executable)
    return queued
