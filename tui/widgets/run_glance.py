"""What one wants to know of the run under the cursor without opening it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from rlmaster.events import Event
from rlmaster.run_folder import RunFolder
from tui.reading.curves import FIRST_SCALARS, Curve
from tui.reading.run_details import RunDetails
from tui.reading.run_pages import RunLine
from tui.reading.run_reader import RunNews, RunReader
from tui.threads import cancel_workers, cancelled_event
from tui.widgets.picture import Picture
from tui.words.plain_text import one_line, printable, unwrapped
from tui.words.run_text import event_lines, heading
from tui.words.wording import state_colour

if TYPE_CHECKING:
    from tui.widgets.curve_plot import CurvePlot

SETTLED_S = 0.15
"""A run is read once the cursor has been on it for so long."""
INTERVAL_S = 1.0
"""How often it is read again."""
GLANCES = 10
"""In each interval, at whether anybody still looks: quitting does not wait for it."""
ROOM_FOR_PICTURE = 30
"""Rows from which on there is room for the picture beside the curve."""
LONGEST_RATIONALE = 600
"""Characters; the whole of it is on the run's own screen."""
SHOWN_EVENTS = 5


class RunGlance(Vertical):
    """Shows why a run was made, how it stands, its curve, newest picture and last events."""

    @dataclass
    class Read(Message):
        """A run has been looked at."""

        folder: Path
        news: RunNews
        is_first: bool = True
        """Whether all there is to know is new."""

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Begin without a run."""
        super().__init__(id=id)
        self._folder: Path | None = None
        self._moved = threading.Event()
        self._reading = threading.Lock()
        self._details: RunDetails | None = None
        self._has_picture = False
        self._events: list[Event] = []
        self._plot: CurvePlot | None = None

    def compose(self) -> ComposeResult:
        """Lay out words, curve, picture and events; what a run lacks takes no room."""
        yield Static(id="glance-words")
        yield Vertical(id="glance-curve")
        yield Picture(id="glance-picture")
        yield Static(id="glance-events")

    def on_mount(self) -> None:
        """Leave the keys to the list."""
        self.query_one(Picture).can_focus = False
        self._empty()

    def on_resize(self) -> None:
        """Leave the picture out where curve and picture would both be too low."""
        has_room = self.size.height >= ROOM_FOR_PICTURE
        self.query_one(Picture).display = self._has_picture and has_room

    def _empty(self) -> None:
        self._has_picture = False
        for part in ("#glance-curve", "#glance-picture", "#glance-events"):
            self.query_one(part).display = False

    # ------------------------------------------------------------------------------------ reading

    def follow(self, line: RunLine | None, folder: Path | None) -> None:
        """Show another run: what its line in the list says at once, the rest when it is read."""
        if folder == self._folder:
            return
        before, self._folder = self._folder, folder
        self._details = None
        self._empty()
        self.query_one("#glance-words", Static).update(_first_words(line) if line else "")
        self._moved.set()
        if folder is None:
            self.stop()
        elif before is None:
            self.read_on()

    def stop(self) -> None:
        """Leave the run alone while nobody sees it."""
        cancel_workers(self)

    def resume(self) -> None:
        """Go on with the run that was shown, if there was one."""
        if self._folder is not None:
            self.read_on()

    @work(thread=True, exclusive=True)
    def read_on(self) -> None:
        """Read the run that is shown, again and again, until this is cancelled."""
        cancelled = cancelled_event()
        reader: RunReader | None = None
        present: Path | None = None
        with self._reading:
            while not cancelled.is_set():
                self._wait_until_settled(cancelled)
                if is_first := reader is None or present != self._folder:
                    present = self._folder
                    reader = RunReader(RunFolder(present)) if present else None
                if reader and present:
                    self.post_message(self.Read(present, reader.read(), is_first))
                for _ in range(GLANCES):
                    if cancelled.is_set() or self._moved.wait(INTERVAL_S / GLANCES):
                        break

    def _wait_until_settled(self, cancelled: threading.Event) -> None:
        while self._moved.is_set() and not cancelled.is_set():
            self._moved.clear()
            cancelled.wait(SETTLED_S)

    # ------------------------------------------------------------------------------------- showing

    def show(self, message: Read, now: datetime) -> None:
        """Show what was read, unless another run is shown by now."""
        if message.folder != self._folder:
            return
        news = message.news
        if news.overview is None:
            self._empty()
            gone = Content.styled("This run's folder is gone.", "$text-error")
            self.query_one("#glance-words", Static).update(gone)
            return
        self._details = news.details or self._details
        words = Content("\n\n").join([heading(news.overview, now), *_story(self._details)])
        self._say("#glance-words", words)
        known = [] if message.is_first else self._events
        self._events = [*known, *news.events][-SHOWN_EVENTS:]
        self._say("#glance-events", event_lines(self._events, now))
        if news.curves:
            self._show_curve(news.curves)
        if news.preview:
            picture = self.query_one(Picture)
            picture.border_title = Content(one_line(news.preview.name))  # type: ignore
            picture.show(news.preview)
            self._has_picture = True
            self.on_resize()

    def _say(self, where: str, what: Content) -> None:
        static = self.query_one(where, Static)
        static.display = bool(what.plain)
        if static.content != what:
            static.update(what)

    def _show_curve(self, curves: Mapping[str, Curve]) -> None:
        metric = one_line(self._details.row.metric) if self._details else ""
        tag = next((tag for tag in (metric, *FIRST_SCALARS) if tag in curves), next(iter(curves)))
        pane = self.query_one("#glance-curve")
        pane.display = True
        pane.border_title = Content(tag)  # type: ignore
        if self._plot is None:
            # The thread that read the curves has loaded numpy already.
            from tui.widgets.curve_plot import CurvePlot

            self._plot = CurvePlot()
            pane.mount(self._plot)
        self._plot.show(curves[tag])


def _first_words(line: RunLine) -> Content:
    """Say what the list knows of a run, as it will be said once it is read."""
    return Content.assemble(
        (line.experiment, "bold"),
        (f"  {line.run}  ", "$foreground-muted"),
        (line.state, f"bold {state_colour(line.state)}"),
        f"\n\n{line.why}",
    )


def _story(details: RunDetails | None) -> list[Content]:
    """Tell why a run was made, what it came to, and how good that was."""
    if details is None:
        return []
    row = details.row
    came_to = Content.assemble(
        (one_line(details.result), "$text-success"),
        "\n" if details.result and row.standing else "",
        (one_line(row.standing), "$foreground-muted"),
    )
    parts = [_text(row.rationale), came_to, _text(row.conclusion).stylize("italic")]
    return [part for part in parts if part.plain]


def _text(text: str) -> Content:
    text = unwrapped(printable(text).strip())
    too_long = len(text) > LONGEST_RATIONALE
    return Content(text[:LONGEST_RATIONALE].rstrip() + "…" if too_long else text)
