"""How one run stands, read from its small files; every text in it is safe to show."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rlmaster.run_folder import Progress, RunFolder, as_float_map
from rlmaster.run_status import State, Status
from tui.words.plain_text import one_line, printable
from tui.words.wording import parse_time

UNREADABLE = "unreadable"
"""Shown instead of a state where a run's files may not be read."""


@dataclass(frozen=True)
class RunOverview:
    """One run as it stands; every text in it is safe to show."""

    path: Path
    name: str
    short_id: str
    created: datetime | None
    state: str
    since: datetime | None
    heartbeat: datetime | None
    host: str
    """The other computer that it is made on; empty where that is this one."""
    slot: str
    reason: str
    progress: Progress
    rationale: str
    unreachable: str = ""
    """Since when that other computer does not answer, and why; empty where it does."""


def read_overview(folder: RunFolder) -> RunOverview:
    """Read a run's small files, whatever is in them."""
    status, state, reason = _status(folder)
    host = _host(folder)
    return RunOverview(
        path=folder.path,
        name=one_line(folder.name),
        short_id=one_line(folder.short_id),
        created=_created(folder.id),
        state=state,
        since=parse_time(str(status.since)),
        heartbeat=parse_time(str(status.heartbeat)),
        host=one_line(host),
        slot=one_line(str(status.slot)),
        reason=reason,
        progress=_progress(folder),
        rationale=printable(_rationale(folder)).strip(),
        unreachable=_unreachable(folder, host),
    )


def _status(folder: RunFolder) -> tuple[Status, str, str]:
    try:
        status = folder.status()
        return status, str(status.state), printable(str(status.reason)).strip()
    except OSError as error:
        return Status(State.PREPARED), UNREADABLE, one_line(f"status.json: {error}")


def _host(folder: RunFolder) -> str:
    try:
        placement = folder.elsewhere()
    except OSError:
        return ""
    return str(placement.host) if placement else ""


def _unreachable(folder: RunFolder, host: str) -> str:
    """Say since when a host does not answer; a name that is no file's has never answered."""
    if not host or "/" in host or "\0" in host:
        return ""
    # Here, because an app without runs elsewhere needs nothing of hosts.
    from rlmaster.hosts.reachability import unreachable_since

    try:
        known = unreachable_since(folder.path.parent.parent, host)
    except OSError:
        return ""
    return one_line(str(known)) if known else ""


def _progress(folder: RunFolder) -> Progress:
    try:
        raw = folder.progress()
    except (OSError, TypeError):
        return Progress()
    result = raw.result if isinstance(raw.result, dict) else {}  # pyright: ignore[reportUnnecessaryIsInstance]
    return Progress(
        phase=one_line(str(raw.phase)),
        step=int(_number(raw.step)),
        total=int(_number(raw.total)),
        axis=one_line(str(raw.axis)),
        rate_per_s=_number(raw.rate_per_s),
        eta_s=None if raw.eta_s is None else _number(raw.eta_s),
        values={one_line(tag): value for tag, value in as_float_map(raw.values).items()},
        result=result,
    )


def _number(value: object) -> float:
    """Return a finite number; 0 for what is none."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def _rationale(folder: RunFolder) -> str:
    try:
        return folder.rationale()
    except OSError as error:
        return f"({error})"


def _created(run_id: str) -> datetime | None:
    try:
        return datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
