"""Stops that are not asked for yet: for ten seconds, each can be taken back."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from textual.app import App
from textual.content import Content
from textual.css.query import NoMatches
from textual.widgets import Static

from tui.acts.actions import RunAtHand
from tui.acts.stage import Stage
from tui.children.detached import Deed

UNDO_S = 10.0
"""How long a stop can be taken back."""
TICK_S = 0.5


class StopBanner(Static):
    """Counts down on whichever screen one looks at."""


class PendingStops:
    """Runs that will be asked to stop, each at its time."""

    def __init__(self, stage: Stage) -> None:
        """Begin with none."""
        self._stage = stage
        self._due: dict[Path, tuple[str, float]] = {}
        """What each run is called, and when it is asked to stop."""
        self._timer: Any = None

    def __bool__(self) -> bool:
        """Tell whether there is something to take back."""
        return bool(self._due)

    def add(self, runs: Sequence[RunAtHand]) -> None:
        """Stop these runs in ten seconds, unless they wait for that already."""
        due_s = time.monotonic() + UNDO_S
        for run in runs:
            self._due.setdefault(run.path, (run.label, due_s))
        if self._timer is None:
            self._timer = self._stage.app.set_interval(TICK_S, self._tick)
        self._tick()

    def take_back(self) -> None:
        """Let the runs go on."""
        words = self._named()
        self._due.clear()
        self._tick()
        self._stage.say(f"{words} will not be stopped")

    def carry_out(self) -> None:
        """Ask all of them at once, since the app ends."""
        self._ask(list(self._due))

    def _tick(self) -> None:
        """Ask those whose time has come, and show how long the others have."""
        now_s = time.monotonic()
        due = [path for path, (_, due_s) in self._due.items() if due_s <= now_s]
        if deed := self._ask(due):
            self._stage.app.run_worker(partial(self._tell_of, deed, len(due)))
        if not self._due and self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._show_banner(now_s)

    def _ask(self, runs: Sequence[Path]) -> Deed | None:
        """Ask runs to stop, by a child that is under way before anything else can happen."""
        for run in runs:
            del self._due[run]
        return self._stage.begin(["stop", *map(str, runs), "--no-wait", "--json"]) if runs else None

    async def _tell_of(self, deed: Deed, count: int) -> None:
        if await self._stage.answer_of(deed) is not None:
            what = "The run is" if count == 1 else f"{count} runs are"
            self._stage.say(f"{what} asked to keep the work and end")

    def _show_banner(self, now_s: float) -> None:
        app = self._stage.app
        for screen in app.screen_stack[:-1] if self._due else app.screen_stack:
            screen.query(StopBanner).remove()
        if self._due:
            left_s = max(1, round(min(due_s for _, due_s in self._due.values()) - now_s))
            words = f"Stopping {self._named()} in {left_s} s   "
            _banner(app).update(Content.assemble(words, ("u", "bold"), " takes it back"))
        app.screen.refresh_bindings()

    def _named(self) -> str:
        """Name the one run, or count several."""
        labels = [label for label, _ in self._due.values()]
        return labels[0] if len(labels) == 1 else f"{len(labels)} runs"


def _banner(app: App[Any]) -> StopBanner:
    """Return the banner of the present screen."""
    try:
        return app.screen.query_one(StopBanner)
    except NoMatches:
        banner = StopBanner()
        app.screen.mount(banner)
        return banner
