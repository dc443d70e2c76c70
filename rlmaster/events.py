"""What is interesting in a run: one JSON line for each event, from the worker or from training."""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from rlmaster.durable_files import append_line, read_lines, utc_now
from rlmaster.run_folder import as_float_map


class Severity(StrEnum):
    """How much an event should disturb a person."""

    INFO = "info"
    GOOD = "good"
    WARNING = "warning"
    ERROR = "error"


SEVERITIES = {
    "started": Severity.INFO,
    "resumed": Severity.INFO,
    "note": Severity.INFO,
    "new_best": Severity.GOOD,
    "above_random": Severity.GOOD,
    "above_human": Severity.GOOD,
    "finished": Severity.GOOD,
    "plateau": Severity.WARNING,
    "stalled": Severity.WARNING,
    "disk_filling": Severity.WARNING,
    "damaged": Severity.WARNING,
    "resumed_by_itself": Severity.WARNING,
    "stopped": Severity.WARNING,
    "diverged": Severity.ERROR,
    "failed": Severity.ERROR,
    "lost": Severity.ERROR,
}
"""The kinds of event that RLmaster itself writes."""


@dataclass(frozen=True)
class Event:
    """Something that happened in a run."""

    kind: str
    """What happened: one of SEVERITIES, or a user's own word."""
    message: str
    """One sentence for a person."""
    step: int = 0
    """Where on the run's axis it happened."""
    severity: Severity = Severity.INFO
    """How much it should disturb a person."""
    time: str = field(default_factory=utc_now)
    """When it happened, ISO 8601 in UTC."""
    values: dict[str, float] = field(default_factory=dict[str, float])
    """Numbers that belong to it."""

    @property
    def moment(self) -> datetime:
        """When it happened; the beginning of time where that was not written as one."""
        return moment_of(self.time)

    @property
    def id(self) -> str:
        """Return what identifies the event within its run, so that none is announced twice.

        The moment tells it from one at the same step after a resume.
        """
        return f"{self.kind}-{self.step}-{self.moment:%Y%m%dT%H%M%S.%f}"


def moment_of(time: str) -> datetime:
    """Return the moment that ISO 8601 names; the beginning of time where it names none."""
    try:
        return datetime.fromisoformat(time).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter for a time zone in the very first year
        return datetime.min.replace(tzinfo=UTC)


def event(kind: str, message: str, step: int = 0, **values: float) -> Event:
    """Make an event of a known kind, with that kind's severity."""
    return Event(kind, message, step, SEVERITIES.get(kind, Severity.INFO), values=values)


def append_event(path: Path, happened: Event) -> None:
    """Append an event to a stream."""
    append_line(path, asdict(happened))


def read_events(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Read the whole events from a byte offset on, and where to read on."""
    lines, offset = read_lines(path, offset)
    return [_parse(line) for line in lines if "kind" in line], offset


def _parse(line: dict[str, Any]) -> Event:
    severity, step = str(line.get("severity", "info")), line.get("step")
    return Event(
        kind=str(line["kind"]),
        message=str(line.get("message", "")),
        step=step if isinstance(step, int) else 0,
        severity=Severity(severity) if severity in set(Severity) else Severity.INFO,
        time=str(line.get("time", "")),
        values=as_float_map(line.get("values")),
    )
