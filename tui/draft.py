"""A new run as far as it is chosen, and what the command line offers to choose from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from tui.plain_text import one_line, printable, unwrapped

AUTO = "auto"
"""Let the command line take the host that it ranks first."""


@dataclass(frozen=True)
class ExperimentChoice:
    """One script in `experiments/`; every text but the file is safe to show."""

    file: str
    name: str
    title: str
    description: str
    error: str
    """Why it cannot be run; empty if it can."""
    chosen_values: dict[str, str]
    """Dotted path and value of the fields that differ from their defaults."""


@dataclass(frozen=True)
class HostChoice:
    """One computer; every text but the name is safe to show."""

    name: str
    kind: str
    fits: bool
    reason: str


@dataclass
class Draft:
    """A run that is not launched yet; going back and forth between the steps changes none of it."""

    experiment: ExperimentChoice | None = None
    rationale: str = ""
    host: str = AUTO
    hosts: list[HostChoice] = field(default_factory=list[HostChoice])
    """In order of ranking, as last heard."""

    def host_line(self) -> str:
        """Say which host is taken, and why."""
        if self.host == AUTO:
            first = next((host for host in self.hosts if host.fits), None)
            return f"{AUTO}: now {first.name}, {first.reason}" if first else f"{AUTO}: the best one"
        reason = next((host.reason for host in self.hosts if host.name == self.host), "")
        return f"{one_line(self.host)}: {reason}" if reason else one_line(self.host)


def parse_experiments(answer: Mapping[str, Any]) -> list[ExperimentChoice]:
    """Read what `rlmaster experiments --json` answers."""
    return [_experiment(entry) for entry in _entries(answer, "experiments")]


def _experiment(entry: Mapping[str, Any]) -> ExperimentChoice:
    file = str(entry["file"])
    differing = cast("list[object]", entry.get("differs_from_default") or [])
    return ExperimentChoice(
        file=file,
        name=one_line(str(entry.get("name") or file)),
        title=one_line(str(entry.get("title") or "")),
        description=unwrapped(printable(str(entry.get("description") or ""))).strip(),
        error=printable(str(entry.get("error") or "")).strip(),
        chosen_values={
            one_line(str(path)): one_line(str(_value(entry.get("experiment"), str(path))))
            for path in differing
        },
    )


def _value(data: object, path: str) -> object:
    for key in path.split("."):
        data = cast("dict[str, object]", data).get(key) if isinstance(data, dict) else None
    return data


def parse_hosts(answer: Mapping[str, Any]) -> list[HostChoice]:
    """Read what `rlmaster hosts --json` answers, in order of ranking."""
    return [
        HostChoice(
            name=str(entry["name"]),
            kind=one_line(str(entry.get("kind") or "")),
            fits=bool(entry.get("fits")),
            reason=one_line(str(entry.get("reason") or "")),
        )
        for entry in _entries(answer, "hosts")
    ]


def _entries(answer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    entries = cast("list[object]", answer.get(key) or [])
    return [cast("Mapping[str, Any]", entry) for entry in entries if isinstance(entry, dict)]
