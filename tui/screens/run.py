"""One run: how far it is, its curve, newest picture, log and events, and why it was made."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Log, Static

from rlmaster.events import Event
from rlmaster.run_folder import RunFolder
from tui.messages import RunRead
from tui.plain_text import one_line
from tui.run_reader import Curve, Preview, RunReader
from tui.run_text import event_lines, heading, progress_line, story, values_line
from tui.screens.polling import PollingScreen
from tui.screens.scalar_choice import ScalarChoiceScreen
from tui.widgets.picture import Picture

if TYPE_CHECKING:
    from tui.widgets.curve_plot import CurvePlot

PANES = {"curve": "Curve", "preview": "Preview", "log": "Log", "events": "Events", "why": "Why"}
PANE_KEYS = Binding.Group("Panes", compact=True)
ROOM_FOR_ALL_PANES = (100, 30)
"""Columns and rows from which on all panes are seen at once; below, one at a time."""
FIRST_SCALARS = ("held_out/error", "train/loss")
"""What the curve shows first, if the run has it."""
SHOWN_EVENTS = 200
SHOWN_LOG_LINES = 2000


class RunScreen(PollingScreen):
    """Shows a run while it moves, and afterwards."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back"),
        *(
            Binding(str(number), f"show_pane('{name}')", title, group=PANE_KEYS)
            for number, (name, title) in enumerate(PANES.items(), start=1)
        ),
        Binding("z", "toggle_one_pane", "One/all"),
        Binding("s", "choose_scalar", "Scalar"),
        Binding("w", "toggle_whole_picture", "Whole picture", show=False),
    ]

    def __init__(self, folder: RunFolder, clock: Callable[[], datetime]) -> None:
        """Say which run it is, and what time it is."""
        reader = RunReader(folder)
        super().__init__(look=lambda: RunRead(reader.read()))
        self._folder = folder
        self._clock = clock
        self._pane = "curve"
        self._wants_one_pane = False
        self._plot: CurvePlot | None = None
        self._curves: Mapping[str, Curve] = {}
        self._scalar: str | None = None
        self._events: list[Event] = []

    def compose(self) -> ComposeResult:
        """Lay out three lines on how it stands, and the panes."""
        yield Static(Content(one_line(self._folder.name)), id="title")
        yield Static(id="progress")
        yield Static(id="values")
        with Container(id="panes"):
            with VerticalScroll(id="curve"):
                yield Static("No scalars yet.", classes="placeholder")
            yield Picture(id="preview")
            yield Log(id="log", max_lines=SHOWN_LOG_LINES)
            with VerticalScroll(id="events"):
                yield Static(id="event-lines")
            with VerticalScroll(id="why"):
                yield Static(id="story")
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Begin with the curve."""
        for name in PANES:
            self.query_one(f"#{name}").add_class("pane")
        self.action_show_pane("curve")

    # ------------------------------------------------------------------------------------- panes

    def on_resize(self, event: events.Resize) -> None:
        """Show all panes where there is room for them."""
        self._arrange(event.size.width, event.size.height)

    def _arrange(self, width: int, height: int) -> None:
        columns, rows = ROOM_FOR_ALL_PANES
        one = self._wants_one_pane or width < columns or height < rows
        self.set_class(one, "-one-pane")
        for name, title in PANES.items():
            pane = self.query_one(f"#{name}")
            pane.set_class(name == self._pane, "-chosen")
            pane.border_title = _tabs(self._pane) if one else f"{_key(name)} {title}"  # type: ignore

    def action_show_pane(self, name: str) -> None:
        """Bring a pane to the front, for the eyes and for the keys."""
        self._pane = name
        self._arrange(*self.size)
        self.query_one(f"#{name}").focus()

    def action_toggle_one_pane(self) -> None:
        """Give the present pane all the room, or share it."""
        self._wants_one_pane = not self._wants_one_pane
        self._arrange(*self.size)

    def action_toggle_whole_picture(self) -> None:
        """Show all of the picture, or its magnified parts."""
        picture = self.query_one(Picture)
        picture.whole = not picture.whole

    def action_choose_scalar(self) -> None:
        """Ask which scalar the curve shall show."""
        if self._curves:
            dialog = ScalarChoiceScreen(list(self._curves), self._scalar)
            self.app.push_screen(dialog, self._show_scalar)  # pyright: ignore[reportUnknownMemberType]

    # -------------------------------------------------------------------------------------- news

    @on(RunRead)
    def show_news(self, message: RunRead) -> None:
        """Show what has changed."""
        news = message.news
        if news.overview is None:
            self._say("#title", Content.styled("This run's folder is gone.", "bold $text-error"))
            return
        now = self._clock()
        self._say("#title", heading(news.overview, now))
        self._say("#progress", progress_line(news.overview, self.size.width - 2))
        self._say("#values", values_line(news.overview.progress))
        self._say("#story", story(news.overview))
        self._events = [*self._events, *news.events][-SHOWN_EVENTS:]
        self._say("#event-lines", event_lines(self._events, now))
        if news.log_lines:
            self.query_one(Log).write_lines(line or " " for line in news.log_lines)
        if news.curves:
            self._show_curves(news.curves)
        if news.preview:
            self._show_preview(news.preview)

    def _say(self, where: str, what: Content) -> None:
        static = self.query_one(where, Static)
        if static.content != what:
            static.update(what)

    def _show_preview(self, preview: Preview) -> None:
        picture = self.query_one(Picture)
        picture.border_subtitle = Content(one_line(preview.name))  # type: ignore
        picture.show(preview)

    def _show_curves(self, curves: Mapping[str, Curve]) -> None:
        self._curves = curves
        if self._scalar not in curves:
            self._scalar = next((tag for tag in FIRST_SCALARS if tag in curves), next(iter(curves)))
        self._show_scalar(self._scalar)

    def _show_scalar(self, tag: str | None) -> None:
        if tag is None:
            return
        self._scalar = tag
        pane = self.query_one("#curve")
        pane.border_subtitle = Content(tag)  # type: ignore
        if self._plot is None:
            # The thread that read the curves has loaded numpy already.
            from tui.widgets.curve_plot import CurvePlot

            self._plot = CurvePlot()
            pane.query(".placeholder").remove()
            pane.mount(self._plot)
        self._plot.show(self._curves[tag])


def _key(pane: str) -> int:
    return list(PANES).index(pane) + 1


def _tabs(chosen: str) -> Content:
    """Name all panes, the chosen one brighter."""
    return Content("  ").join(
        Content.styled(f"{_key(name)} {title}", "bold reverse" if name == chosen else "dim")
        for name, title in PANES.items()
    )
