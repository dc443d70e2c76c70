"""A run's progress in the terminal: a live bar where there is one, else a line now and then."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rlmaster.cli.terminal import between_words, plain, say

if TYPE_CHECKING:
    from rlmaster.events import Event
    from rlmaster.follower import Update
    from rlmaster.run_folder import Progress, RunFolder

LINE_EVERY_S = 10.0
MARKS = {"good": "green", "warning": "yellow", "error": "red"}
SHOWN_VALUES = {
    "train/loss": "loss",
    "canonical/error": "error",
    "train/return": "return",
    "evaluation/return": "evaluated",
}
"""The scalars that say most of a run, in short words."""

Show = Callable[["Update"], None]


@contextmanager
def shown(run: "RunFolder", *, quiet: bool) -> Generator[Show]:
    """Return what shows each update; the bar goes when the block is left."""
    if quiet:
        yield lambda _update: None
    elif sys.stderr.isatty():
        yield from _bar(run)
    else:
        yield _Lines()


class _Lines:
    """Events as they come and one line of progress now and then, for logs and pipes."""

    def __init__(self) -> None:
        self._next_line = 0.0

    def __call__(self, update: "Update") -> None:
        for event in update.events:
            say(_event_line(event))
        line = update.unreachable or _waiting(update)
        if not line and update.progress.phase:
            line = _progress_line(update.progress)
        if line and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_EVERY_S
            say(line)


def _bar(run: "RunFolder") -> Generator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    narrow = console.width < 80
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        TextColumn("{task.fields[pace]}", markup=False),
    ]
    if not narrow:
        columns.append(TextColumn("{task.fields[values]}", markup=False))
    with Progress(*columns, console=console, expand=True, transient=True) as bar:
        task = bar.add_task("starting", total=None, pace="", values="")

        def show(update: "Update") -> None:
            for event in update.events:
                line = between_words(_event_line(event), console.width)
                console.print(Text(line, style=MARKS.get(event.severity, "")), soft_wrap=True)
            progress = update.progress
            state = _waiting(update) or progress.phase or f"starting {run.short_id}"
            bar.update(
                task,
                description=plain(update.unreachable) or state,
                completed=progress.step,
                total=progress.total or None,
                pace="" if update.unreachable else pace(progress),
                values=values(progress),
            )

        yield show


def _event_line(event: "Event") -> str:
    where = f" at {event.step:,}" if event.step else ""
    return plain(f"{event.kind.replace('_', ' ')}{where}: {event.message}")


def _waiting(update: "Update") -> str:
    """Say that a run waits, where or behind how many; nothing for one that does not."""
    if update.host and update.status.state in ("prepared", "queued"):
        return f"waits for a slot on {update.host}"
    if update.ahead is None:
        return ""
    return f"waits for a slot, behind {update.ahead}" if update.ahead else "waits for a slot"


def _progress_line(progress: "Progress") -> str:
    of = f" of {progress.total:,}" if progress.total else ""  # nobody knows how long a game takes
    done = f"{progress.phase} {progress.step:,}{of} {progress.axis}"
    return ", ".join(part for part in (done, pace(progress), values(progress)) if part)


def pace(progress: "Progress") -> str:
    """Return how fast a run is and how long it will take; nothing where that is not known."""
    if not (progress.total and progress.rate_per_s) or progress.eta_s is None:
        return ""
    minutes, seconds = divmod(round(progress.eta_s), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{progress.rate_per_s:,.0f}/s, {left} left"


def values(progress: "Progress") -> str:
    """Return the newest values that say most."""
    known = progress.values
    shown = {word: known[tag] for tag, word in SHOWN_VALUES.items() if tag in known}
    return "  ".join(f"{word} {value:.3g}" for word, value in shown.items())
