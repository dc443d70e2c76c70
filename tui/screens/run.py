"""One run: how far it is, and whatever there is to be seen of it, pane by pane."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.style import Style
from textual.widgets import Footer, Static

from rlmaster.run_folder import RunFolder
from tui.children.commands import CommandLine
from tui.messages import ChooseAction, RunRead
from tui.panes.config import ConfigPane
from tui.panes.curves import CurvesPane
from tui.panes.events import EventsPane
from tui.panes.files import FilesPane
from tui.panes.log import LogPane
from tui.panes.overview import OverviewPane
from tui.panes.pane import Pane
from tui.panes.previews import PreviewsPane
from tui.reading.run_reader import RunReader
from tui.screens.acting import ACTIONS_KEY
from tui.screens.polling import PollingScreen
from tui.words.plain_text import one_line
from tui.words.run_text import heading, progress_line, values_line

PANES = {
    "overview": OverviewPane.TITLE,
    "curves": CurvesPane.TITLE,
    "previews": PreviewsPane.TITLE,
    "log": LogPane.TITLE,
    "events": EventsPane.TITLE,
    "config": ConfigPane.TITLE,
    "files": FilesPane.TITLE,
}
ALWAYS_ALONE = frozenset({"config", "files"})
"""Panes that one reads rather than watches."""
ROOM_FOR_SEVERAL = (100, 30)
"""Columns and rows from which on several panes are seen at once; below, one at a time."""


class RunScreen(PollingScreen):
    """Shows a run while it moves, and afterwards."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back"),
        *(
            Binding(str(number), f"show_pane('{name}')", title, show=False)
            for number, (name, title) in enumerate(PANES.items(), start=1)
        ),
        Binding("z", "toggle_one_pane", "One/several"),
        ACTIONS_KEY,
    ]

    def __init__(
        self,
        folder: RunFolder,
        command: CommandLine,
        clock: Callable[[], datetime],
    ) -> None:
        """Say which run it is.

        Args:
            folder: The run.
            command: How to run the command line.
            clock: What time it is, in UTC.
        """
        super().__init__(look=self._look_at_run)
        self._reader = RunReader(folder)
        self._has_looked = False
        self._folder = folder
        self._command = command
        self._clock = clock
        self._pane = "curves"
        self._wants_one_pane = False

    def compose(self) -> ComposeResult:
        """Lay out how it stands, the names of the panes, and the panes."""
        yield Static(Content(one_line(self._folder.name)), id="title")
        yield Static(id="progress")
        yield Static(id="values")
        yield Static(id="tabs")
        with Container(id="panes"):  # in the order in which a grid is filled
            yield CurvesPane("curves", self._folder, self._reader)
            yield PreviewsPane("previews")
            yield OverviewPane("overview")
            yield LogPane(id="log")
            yield EventsPane("events")
            yield ConfigPane("config", self._folder)
            yield FilesPane("files", self._folder, self._command)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Begin with the curves."""
        self.action_show_pane(self._pane)

    # ------------------------------------------------------------------------------------- panes

    def on_resize(self, event: events.Resize) -> None:
        """Show several panes where there is room for them."""
        self._arrange(event.size.width, event.size.height)

    def _arrange(self, width: int, height: int) -> None:
        columns, rows = ROOM_FOR_SEVERAL
        has_room = width >= columns and height >= rows
        one = self._wants_one_pane or not has_room or self._pane in ALWAYS_ALONE
        self.set_class(one, "-one-pane")
        self.query_one("#tabs", Static).update(_tabs(self._pane))
        for pane in self.query(Pane):
            is_present = pane.id == self._pane
            pane.display = pane.is_shown = is_present if one else pane.id not in ALWAYS_ALONE
            pane.border_title = "" if one else pane.TITLE

    def action_show_pane(self, name: str) -> None:
        """Bring a pane to the front, for the eyes and for the keys."""
        self._pane = name
        self._arrange(*self.size)
        self.query_one(f"#{name}", Pane).focus_inside()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Note which pane the keys go to, whichever way they came there."""
        above = event.widget.ancestors_with_self if event.widget is self.focused else []
        pane = next((node for node in above if isinstance(node, Pane)), None)
        if pane and pane.id and pane.id != self._pane:
            self._pane = pane.id
            self._arrange(*self.size)

    def action_toggle_one_pane(self) -> None:
        """Give the present pane all the room, or share it."""
        self._wants_one_pane = not self._wants_one_pane
        self._arrange(*self.size)

    def runs_at_hand(self) -> list[Path]:
        """Return the folder of the run."""
        return [self._folder.path]

    def action_choose_action(self) -> None:
        """Ask what shall be done with the run."""
        self.post_message(ChooseAction(self.runs_at_hand()))

    # -------------------------------------------------------------------------------------- news

    def _look_at_run(self) -> RunRead:
        """Read what is new, in a thread; at first what is read at once, for the eyes."""
        if not self._has_looked:
            self._has_looked = True
            self.post_message(RunRead(self._reader.read_texts()))
        return RunRead(self._reader.read())

    @on(RunRead)
    def show_news(self, message: RunRead) -> None:
        """Show what has changed."""
        news, now = message.news, self._clock()
        if news.overview is None:
            gone = "This run's folder is gone; what was read of it stays here."
            self._say("#title", Content.styled(gone, "bold $text-error"))
            return
        self._say("#title", heading(news.overview, now))
        self._say("#progress", progress_line(news.overview, self.size.width - 2))
        self._say("#values", values_line(news.overview.progress))
        for pane in self.query(Pane):
            pane.take(news, now)
            if pane.is_shown:
                pane.draw()

    def _say(self, where: str, what: Content) -> None:
        static = self.query_one(where, Static)
        if static.content != what:
            static.update(what)


def _tabs(present: str) -> Content:
    """Name all panes with their keys, the present one brighter; a click shows one."""
    parts: list[Content] = []
    for number, (name, title) in enumerate(PANES.items(), start=1):
        look = "bold reverse" if name == present else "$foreground-muted"
        click = Style.from_meta({"@click": f"screen.show_pane('{name}')"})
        parts.append(Content.styled(f" {number} {title} ", look).stylize(click))
    return Content("").join(parts)
