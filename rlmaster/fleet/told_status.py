"""A run's status as another computer tells it: checked, and whether it still counts."""

import re
from dataclasses import fields, replace
from typing import cast

from rlmaster.durable_files import JsonObject, parse_object
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import FINAL_STATES, State, Status

MOST_CHARACTERS = 4_000
MOST_ANSWERED = 1_000
MOST_ATTEMPTS = 1_000_000
NOT_PLAIN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
"""What moves a cursor, breaks a line or turns text around."""


def read_told_status(content: bytes) -> Status | None:
    """Return the status in a file from another computer; None where a field cannot be right."""
    return checked_status(parse_object(content))


def checked_status(data: object) -> Status | None:
    """Return a status that another computer tells, made harmless; None where it cannot be right."""
    status = Status.from_data(cast("JsonObject", data)) if isinstance(data, dict) else None
    if status is None or not all(_fits(status, f.name, f.default) for f in fields(Status)):
        return None
    texts = {name: value for name, value in vars(status).items() if type(value) is str}
    plain = {name: NOT_PLAIN.sub(" ", text) for name, text in texts.items()}
    return replace(status, **plain, answered=tuple(NOT_PLAIN.sub(" ", a) for a in status.answered))


def _fits(status: Status, name: str, usual: object) -> bool:
    """Tell whether a field has its type and a size that can be."""
    value: object = getattr(status, name)
    if name == "state":
        return isinstance(value, State)
    if name == "attempt":
        return type(value) is int and 1 <= value <= MOST_ATTEMPTS
    if name == "answered":
        answered = status.answered
        return len(answered) <= MOST_ANSWERED and sum(map(len, answered)) <= 64 * MOST_CHARACTERS
    if usual is None:
        return value is None or (type(value) is int and abs(value) < MOST_ATTEMPTS)
    return type(value) is type(usual) and (type(value) is not str or len(value) <= MOST_CHARACTERS)


def is_superseded(run: RunFolder, told: Status, host: str) -> bool:
    """Tell whether what a host says of a run does not count any more.

    That is so where the run is made elsewhere now, was taken away from that host, has gone on to a
    later attempt, or has ended for us while it goes on for the host.
    """
    placement, known = run.placement(), run.status()
    if placement is None or placement.host != host:
        return True
    if any(left.host == host and told.attempt <= left.attempt for left in placement.left):
        return True
    if told.attempt < max(known.attempt, placement.from_attempt):
        return True
    has_ended = known.state in FINAL_STATES and told.attempt == known.attempt
    return has_ended and told.state not in FINAL_STATES
