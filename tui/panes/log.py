"""What a run has printed."""

from datetime import datetime
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from tui.panes.pane import Pane
from tui.reading.run_reader import RunNews
from tui.widgets.log_view import LogView
from tui.words.plain_text import printable


class LogPane(Pane):
    """Shows the log as it grows, and searches in it."""

    TITLE: ClassVar[str] = "Log"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/"),
        Binding("n", "go(1)", "Next match", show=False),
        Binding("N", "go(-1)", "Match before", show=False),
    ]

    def compose(self) -> ComposeResult:
        """Lay out the log over the line to search in, which is hidden."""
        yield Static("Nothing has been printed yet.", classes="placeholder")
        yield LogView(id="log-view")
        search = SearchLine()
        search.display = False
        yield search

    def take(self, news: RunNews, now: datetime) -> None:
        """Add what was printed."""
        if news.log_lines:
            self.query_one(LogView).write_lines(news.log_lines)

    def draw(self) -> None:
        """Say whether the end is followed, and what was found."""
        log = self.query_one(LogView)
        self.query_one(".placeholder").display = not log.line_count
        place, count = log.found
        parts = ["following" if log.is_following else "f follows"]
        if self.query_one(SearchLine).value:
            parts += [f"{place} of {count}" if count else "not found"]
        self.say_below("  ".join(parts))

    @on(LogView.Moved)
    def show_place(self) -> None:
        """Say where one is."""
        self.draw()

    def action_search(self) -> None:
        """Ask what to look for."""
        line = self.query_one(SearchLine)
        line.display = True
        line.focus()

    @on(Input.Changed)
    def search(self, event: Input.Changed) -> None:
        """Mark what has been typed so far."""
        event.stop()
        self.query_one(LogView).search(printable(event.value))

    @on(Input.Submitted)
    def leave_search(self, event: Input.Submitted) -> None:
        """Go back to the log, where n and N lead from match to match."""
        event.stop()
        self.query_one(LogView).focus()

    def end_search(self) -> None:
        """Forget what was sought."""
        line = self.query_one(SearchLine)
        line.value = ""
        line.display = False
        self.query_one(LogView).focus()

    def action_go(self, by: int) -> None:
        """Go to another match."""
        self.query_one(LogView).go_to_match(by)


class SearchLine(Input):
    """Where one types what to look for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "end_search", "End search"),
        Binding("enter", "submit", "To the matches"),
    ]

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__(placeholder="search the log", compact=True, select_on_focus=False)

    def action_end_search(self) -> None:
        """Leave, and forget what was sought."""
        if isinstance(self.parent, LogPane):
            self.parent.end_search()
