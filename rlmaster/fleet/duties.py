"""What a run that is owed asks of a host, from what lies here of it."""

from collections.abc import Callable
from enum import Enum
from typing import Generic, TypeVar

from rlmaster.durable_files import signature
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import FINAL_STATES, State

T = TypeVar("T")


class Duty(Enum):
    """What is to be done about a run on a host."""

    NOTHING = "nothing"
    """It is not made there, or all of it is here."""
    RELEASE = "release"
    """The run was taken away from there while nobody could tell the host so."""
    HAND_OVER = "hand over"
    """Its launch was cut before the host had it."""
    MIRROR = "mirror"
    """It waits there, or is being made."""
    GATHER = "gather"
    """It has ended, and some of what it left may still be there."""


def duty(run: RunFolder, host: str) -> Duty:
    """Return what is to be done next about a run on a host.

    Args:
        run: A run that is owed.
        host: Name of the host.
    """
    placement = run.placement()
    if placement is None:
        return Duty.NOTHING
    if any(left.host == host for left in placement.left):
        return Duty.RELEASE
    if placement.host != host or placement.is_here(run.path):
        return Duty.NOTHING
    state = run.status().state
    if state is State.PREPARED:
        return Duty.HAND_OVER
    return Duty.GATHER if state in FINAL_STATES else Duty.MIRROR


def hosts_of(run: RunFolder) -> set[str]:
    """Return the names of the hosts that a run asks something of."""
    placement = run.placement()
    if placement is None:
        return set()
    here = set[str]() if placement.is_here(run.path) else {placement.host}
    return here | {left.host for left in placement.left}


class Remembered(Generic[T]):
    """What follows from where runs are made and how they stand, found anew only when that changes.

    So a look at a run costs two looks at files.
    """

    def __init__(self, find: Callable[[RunFolder], T]) -> None:
        """Remember what a function finds."""
        self._find = find
        self._known: dict[str, tuple[object, T]] = {}

    def of(self, run: RunFolder) -> T:
        """Return what is found of a run."""
        seen = state_signature(run)
        known = self._known.get(run.id)
        if known is None or known[0] != seen:
            known = self._known[run.id] = (seen, self._find(run))
        return known[1]


def state_signature(run: RunFolder) -> object:
    """Return what changes whenever something else may be due, at the cost of two looks."""
    return signature(run.placement_file), signature(run.status_file)
