"""What is said about a run in words, cut to the width there is."""

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from rich.cells import cell_len
from textual.content import Content

from rlmaster.events import Event
from rlmaster.run_folder import Progress
from rlmaster.run_status import FINAL_STATES, State
from tui.reading.run_overview import RunOverview
from tui.words.plain_text import one_line, printable
from tui.words.wording import age, duration, number, parse_time, result, share, state_colour

SILENT_S = 30.0
"""A worker says that it lives much more often than this."""
LEAST_BAR = 8
GAP = "  "
SEVERITY_SIGNS = {"info": "·", "good": "✓", "warning": "!", "error": "✗"}
SEVERITY_COLOURS = {
    "info": "$foreground",
    "good": "$text-success",
    "warning": "$text-warning",
    "error": "$text-error",
}


def heading(run: RunOverview, now: datetime) -> Content:
    """Say which run it is, how it stands and, on a second line, what is wrong."""
    since = f"{GAP}for {age(run.since, now)}" if run.since else ""
    place = f"{GAP}on {run.host}" if run.host else ""
    first = Content.assemble(
        (run.name, "bold"),
        (f"{GAP}{run.short_id}{GAP}", "$foreground-muted"),
        (run.state, f"bold {state_colour(run.state)}"),
        (since + place + (f"{GAP}{run.slot}" if run.slot else ""), "$foreground-muted"),
    )
    trouble = _trouble(run, now)
    if not trouble:
        return first
    return Content.assemble(first, "\n", (trouble, state_colour(run.state)))


def _trouble(run: RunOverview, now: datetime) -> str:
    if run.reason:
        return one_line(run.reason)
    if run.unreachable and run.state not in FINAL_STATES:
        return f"{run.host} is {run.unreachable}"
    silent_s = (now - run.heartbeat).total_seconds() if run.heartbeat else 0.0
    if run.state == State.RUNNING and silent_s > SILENT_S:
        passed = age(run.heartbeat, now)
        if run.host:
            return f"nothing has come from {run.host} for {passed}"
        return f"its worker has said nothing for {passed}"
    return ""


def progress_line(run: RunOverview, width: int) -> Content:
    """Draw a bar of what is done, with as many words as leave room for it."""
    progress = run.progress
    if progress.total <= 0:
        return Content.styled(progress.phase or "no progress yet", "$foreground-muted")
    words = [
        share(progress.step, progress.total),
        f"{number(progress.step)}/{number(progress.total)} {progress.axis}",
    ]
    if run.state == State.RUNNING and progress.rate_per_s:
        words.append(f"{number(round(progress.rate_per_s, 1))}/s")
    if run.state == State.RUNNING and progress.eta_s:
        words.append(f"ETA {duration(progress.eta_s)}")
    room = width - cell_len(progress.phase) - len(GAP) - LEAST_BAR
    after = "".join(GAP + word for word in _as_many_as_fit(words, room))
    bar = max(LEAST_BAR, width - cell_len(progress.phase) - 1 - cell_len(after))
    done = min(bar, bar * progress.step // progress.total)
    return Content.assemble(
        f"{progress.phase} ",
        ("━" * done, "$primary"),
        ("━" * (bar - done), "$foreground 20%"),
        after,
    )


def _as_many_as_fit(words: Sequence[str], room: int) -> list[str]:
    ends = accumulate(len(GAP) + cell_len(word) for word in words)
    return [word for word, end in zip(words, ends, strict=True) if end <= room]


def values_line(progress: Progress) -> Content:
    """Name the result, if there is one, and the newest value of each scalar."""
    came_to = result(progress.result)
    parts = [Content.assemble(("result ", "bold"), (came_to, "bold $text-success"))] * bool(came_to)
    parts += [
        Content.assemble((f"{tag} ", "$foreground-muted"), number(value))
        for tag, value in progress.values.items()
    ]
    return Content("   ").join(parts)


def event_lines(happened: Sequence[Event], now: datetime) -> Content:
    """Tell what happened and how long ago, newest first."""
    return Content("\n").join(
        event_line(event, f"{age(parse_time(event.time), now):>4}") for event in reversed(happened)
    )


def event_line(event: Event, when: str) -> Content:
    """Tell in a line what happened, its weight by a sign and a colour."""
    return Content.assemble(
        (f"{when} ", "$foreground-muted"),
        (f"{SEVERITY_SIGNS[event.severity]} ", SEVERITY_COLOURS[event.severity]),
        (one_line(event.kind).replace("_", " "), SEVERITY_COLOURS[event.severity]),
        (f" {event.step:,} " if event.step else " ", "$foreground-muted"),
        one_line(event.message),
    )


def event_details(event: Event) -> Content:
    """Tell all that is known of what happened."""
    when = f"{printable(event.time)}{GAP}{event.severity}"
    step = f"{GAP}step {event.step:,}" if event.step else ""
    values = GAP.join(f"{one_line(name)} {number(value)}" for name, value in event.values.items())
    parts = [
        Content(printable(event.message).strip()),
        Content(values),
        Content.styled(f"{when}{step}", "$foreground-muted"),
    ]
    return Content("\n").join(part for part in parts if part.plain)
