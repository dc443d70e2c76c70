"""What the host of a run says of it there, and does about it on our word."""

from rlmaster import lifecycle
from rlmaster.errors import RunFolderError
from rlmaster.fleet.answers import rows_in, status_in
from rlmaster.fleet.session import HostSession
from rlmaster.placement import Placement
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import RunLock
from rlmaster.run_status import State, Status

LOCK_PATIENCE_S = 2.0


def placement_of(run: RunFolder) -> Placement:
    """Return where a run is made that is elsewhere."""
    placement = run.placement()
    assert placement is not None, "it is elsewhere"
    return placement


def answered(session: HostSession, run: RunFolder, *command: str) -> Status:
    """Ask a run's host to do something with it; return how it stands there then.

    Raises:
        HostError: If it refuses, or its answer makes no sense.
    """
    answer = session.rlmaster(*command, placement_of(run).folder)
    return status_in(answer, run.id, session.host.name)


def let_go(session: HostSession, run: RunFolder, folder: str, last: Status) -> Status | None:
    """End what a host still does about a run in a folder there, and let nobody resume it there.

    Args:
        session: A host that the run is about to leave, or to come back to.
        run: The run.
        folder: Its folder there.
        last: How it has ended.

    Returns:
        How it stands there then; None where it is not there.

    Raises:
        HostError: If the host does not say.
        RunFolderError: If it does not end, or somebody has just resumed it.
    """

    def released() -> Status:
        nothing = Status(State.STOPPED, attempt=0)
        return standing(session, run, "release", folder) or nothing

    with locked(run):
        if run.status().attempt > last.attempt:
            raise RunFolderError(f"run {run.short_id} has been resumed meanwhile; look at it again")
        there = lifecycle.await_end(run, released)
    return there if there.attempt else None


def standing(session: HostSession, run: RunFolder, command: str, folder: str) -> Status | None:
    """Return how a run stands in a folder on a host after a command; None if it is not there.

    Raises:
        HostError: If the host does not say.
    """
    answer = session.rlmaster(command, folder)
    if rows_in(answer).get(run.id, {}).get("is_there") is False:
        return None
    return status_in(answer, run.id, session.host.name)


def later(known: Status, there: Status) -> Status:
    """Return the later one of what is known here of a run and what its host says of its end."""
    return there if there.attempt >= known.attempt else known


def locked(run: RunFolder) -> RunLock:
    """Take the lock of a run, which here says who may change what is wanted of it.

    Raises:
        RunFolderError: If somebody else has it.
    """
    lock = RunLock(run.id)
    if not lock.take_within(LOCK_PATIENCE_S):
        lock.close()
        raise RunFolderError(f"run {run.short_id} is just being handed over; try again in a moment")
    return lock
