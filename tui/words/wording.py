"""Numbers, times and states in the few characters that a terminal has room for."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tui.words.plain_text import one_line

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
SIZE_UNITS = ("B", "kB", "MB", "GB", "TB")

STATE_COLOURS = {
    "prepared": "$foreground-muted",
    "queued": "$text-secondary",
    "running": "$text-primary",
    "completed": "$text-success",
    "failed": "$text-error",
    "stopped": "$text-warning",
    "lost": "$text-error",
}


def state_colour(state: str) -> str:
    """Return the theme's colour for a state."""
    return STATE_COLOURS.get(state, "$foreground-muted")


def number(value: Any) -> str:
    """Return a number in at most seven characters or so; a dash for what is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "–"
    if isinstance(value, int) or not math.isfinite(value):
        return f"{value:,}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Return a time that is left, such as `0:46` or `2:03:20`."""
    if not math.isfinite(seconds):
        return "–"
    minutes, rest = divmod(max(0, round(seconds)), MINUTE_S)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age(moment: datetime | None, now: datetime) -> str:
    """Return how long ago something was in at most four characters, such as `3min`, `2h`, `12d`."""
    if moment is None:
        return "–"
    seconds = max(0.0, (now - moment).total_seconds())
    if seconds < MINUTE_S:
        return f"{seconds:.0f}s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S:.0f}m"
    if seconds < DAY_S:
        return f"{seconds // HOUR_S:.0f}h"
    return f"{min(seconds // DAY_S, 999):.0f}d"


def parse_time(text: str) -> datetime | None:
    """Read an ISO 8601 time; None for what is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def clock_time(text: str) -> str:
    """Return an ISO 8601 time as a clock here shows it, in eight characters; dashes for none."""
    moment = parse_time(text)
    try:
        return f"{moment.astimezone():%H:%M:%S}" if moment else "--:--:--"
    except (OverflowError, ValueError):
        return "--:--:--"


def place(path: Path) -> str:
    """Return a path as people write it: from `~` where it lies in their home."""
    home = Path.home()
    text = f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
    return one_line(text)


def share(step: int, total: int) -> str:
    """Return how much of the work is done, in percent."""
    return f"{min(100 * step // total, 100)} %" if total > 0 else "–"


def size(size_bytes: float) -> str:
    """Return a size with two or three digits and its unit, such as `512 B`, `1.4 kB`, `86 MB`."""
    power = 0
    while size_bytes >= 999.5 and power < len(SIZE_UNITS) - 1:
        size_bytes, power = size_bytes / 1000, power + 1
    digits = 1 if size_bytes < 9.95 and power else 0
    return f"{size_bytes:,.{digits}f} {SIZE_UNITS[power]}"


def result(values: dict[str, Any], *, with_before: bool = True) -> str:
    """Return what a run came to, such as `0.00312 (before 0.41)`, empty while it is not known."""
    if "value" not in values:
        return ""
    unit = one_line(str(values.get("unit") or ""))
    text = number(values["value"]) + (f" {unit}" if unit else "")
    if with_before and "before" in values:
        text += f" (before {number(values['before'])})"
    return text
