"""Since when a host cannot be reached, as whoever tried last found it.

Kept in `runs/.state/hosts/<name>.json`, so that every process can say it and none has to try.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rlmaster.durable_files import read_json, utc_now, write_json


@dataclass(frozen=True)
class Reachability:
    """How the last attempts to reach a host went."""

    reachable: bool
    since: str
    """When that began, ISO 8601 in UTC."""
    reason: str = ""
    """Why it cannot be reached, in one sentence; empty where it can."""

    def __str__(self) -> str:
        return f"unreachable since {_clock(self.since)}{f'; {self.reason}' if self.reason else ''}"


def note_reachable(runs: Path, host: str) -> None:
    """Keep that a host answers; it costs a look where that was known."""
    _note(runs, host, reachable=True, reason="")


def note_unreachable(runs: Path, host: str, reason: str) -> None:
    """Keep that a host does not answer and why; it is so since it was noted first."""
    _note(runs, host, reachable=False, reason=reason)


def unreachable_since(runs: Path, host: str) -> Reachability | None:
    """Return since when a host does not answer, or None where it does or nobody has tried."""
    known = _known(runs, host)
    return known if known and not known.reachable else None


def forget_host(runs: Path, host: str) -> None:
    """Drop what is known of a host that is no longer in hosts.toml."""
    with suppress(OSError):
        _file(runs, host).unlink(missing_ok=True)


def _note(runs: Path, host: str, *, reachable: bool, reason: str) -> None:
    known = _known(runs, host)
    since = known.since if known and known.reachable is reachable else utc_now()
    found = Reachability(reachable, since, reason)
    if found == known:
        return
    file = _file(runs, host)
    with suppress(OSError):  # a full disk: people are told less, and nothing else goes wrong
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, asdict(found))


def _known(runs: Path, host: str) -> Reachability | None:
    data = read_json(_file(runs, host)) or {}
    match data:
        case {"reachable": bool(reachable), "since": str(since), "reason": str(reason)}:
            return Reachability(reachable, since, reason)
        case _:
            return None


def _clock(moment: str) -> str:
    """Return a moment as people here say it: the time, and the date where it is not today."""
    try:
        then = datetime.fromisoformat(moment).astimezone()
    except (ValueError, OverflowError):
        return "a while ago"
    today = datetime.now(UTC).astimezone().date()
    return f"{then:%H:%M}" if then.date() == today else f"{then:%Y-%m-%d %H:%M}"


def _file(runs: Path, host: str) -> Path:
    return runs / ".state" / "hosts" / f"{host}.json"
