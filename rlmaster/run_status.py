"""How a run stands: its states, which may follow which, and what status.json says beside them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, cast

from rlmaster.durable_files import JsonObject, utc_now
from rlmaster.errors import RunFolderError

STOPPED_EXIT_CODE = 75
"""Training's exit code after it was asked to stop and kept its work (EX_TEMPFAIL)."""


class State(StrEnum):
    """Where a run is in its life."""

    PREPARED = "prepared"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"


FINAL_STATES = frozenset({State.COMPLETED, State.FAILED, State.STOPPED, State.LOST})
RESUMABLE_STATES = FINAL_STATES - {State.COMPLETED}
"""What a resume, which is a new attempt, may leave."""
WAITING_STATES = frozenset({State.PREPARED, State.QUEUED})

NEXT_STATES: Mapping[State, frozenset[State]] = {
    State.PREPARED: frozenset({State.QUEUED, State.RUNNING, State.FAILED, State.STOPPED}),
    State.QUEUED: frozenset({State.RUNNING, State.FAILED, State.STOPPED}),
    State.RUNNING: FINAL_STATES,
    **dict.fromkeys(FINAL_STATES, frozenset[State]()),
}
"""One way within an attempt; `next_attempt` alone leaves a final state."""


@dataclass(frozen=True)
class Status:
    """How a run stands, written by whoever holds its lock."""

    state: State
    attempt: int = 1
    """Counts from 1; each resume is one more."""
    since: str = ""
    """When the state was entered, ISO 8601 in UTC."""
    heartbeat: str = ""
    """When the worker last said that it lives."""
    slot: str = ""
    """Where it computes, such as `cpu:0` or a GPU's UUID and a number; empty outside a queue."""
    host: str = ""
    """Network name of the computer that the worker is on, or that the run waits for."""
    lock: str = ""
    """Path of the run lock, on the local disk of the computer that the worker is on."""
    boot_id: str = ""
    """Which start of which computer the lock belongs to."""
    exit_code: int | None = None
    """Exit code of training, once it has ended by itself."""
    signal: int | None = None
    """Signal that ended training."""
    reason: str = ""
    """Why it ended, in one sentence."""
    answered: tuple[str, ...] = ()
    """Ids of the requests that this attempt has obeyed."""
    announces: bool = False
    """Whether the worker itself pushes notices, so that others wait for it to have done so."""

    def enter(self, state: State, **changes: Any) -> "Status":
        """Return the status after a change of state.

        Raises:
            RunFolderError: If that state cannot follow the present one.
        """
        if state not in NEXT_STATES[self.state]:
            raise RunFolderError(f"a run that is {self.state} cannot become {state}")
        return replace(self, state=state, since=utc_now(), heartbeat=utc_now(), **changes)

    def next_attempt(self, host: str) -> "Status":
        """Return the status of a run that waits to go on.

        Raises:
            RunFolderError: If it has not ended, or there is nothing left to do.
        """
        if self.state not in RESUMABLE_STATES:
            raise RunFolderError(f"a run that is {self.state} cannot be resumed")
        return Status(State.QUEUED, self.attempt + 1, since=utc_now(), host=host)

    def describe_attempt(self, started: str, place: str) -> JsonObject:
        """Return what the list of attempts says of one that has ended.

        Args:
            started: When it began, ISO 8601 in UTC.
            place: How far it was: its phase and step.
        """
        return {
            "attempt": self.attempt,
            "host": self.host,
            "start": started,
            "end": self.since,
            "state": self.state,
            "reason": self.reason,
            "place": place,
        }

    def to_data(self) -> JsonObject:
        """Return it as JSON data."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: JsonObject) -> "Status | None":
        """Read it from JSON data, of which unknown fields are passed over; None if it is none."""
        known: JsonObject = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        if known.get("state") not in list(State):
            return None
        known["state"] = State(known["state"])
        answered = known.get("answered")
        words = cast("list[Any]", answered) if isinstance(answered, list | tuple) else []
        known["answered"] = tuple(map(str, words))
        return cls(**known)
