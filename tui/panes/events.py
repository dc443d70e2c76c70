"""What happened in a run, newest first."""

from datetime import datetime
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static

from rlmaster.events import Event
from tui.panes.pane import Pane
from tui.reading.run_reader import RunNews
from tui.widgets.reading_list import ReadingList
from tui.words.run_text import event_details, event_line
from tui.words.wording import clock_time

SHOWN_EVENTS = 500


class EventsPane(Pane):
    """Lists what happened, and tells more of the event one points at."""

    TITLE: ClassVar[str] = "Events"

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Begin without events."""
        super().__init__(id=id)
        self._events: dict[str, Event] = {}
        self._drawn: list[str] = []

    def compose(self) -> ComposeResult:
        """Lay out the list over the details."""
        yield Static("Nothing has happened yet.", classes="placeholder")
        yield ReadingList("event-list")
        with VerticalScroll(id="event-details", can_focus=False):
            yield Static(id="event-text")

    def take(self, news: RunNews, now: datetime) -> None:
        """Keep what happened, the newest first."""
        if news.events:
            fresh = {event.id: event for event in reversed(news.events)}
            kept = {key: event for key, event in self._events.items() if key not in fresh}
            self._events = dict(list((fresh | kept).items())[:SHOWN_EVENTS])

    def draw(self) -> None:
        """List it; one who points at the newest goes on pointing at the newest."""
        if list(self._events) == self._drawn:
            return
        choices = self.query_one(ReadingList)
        was_newest = choices.highlighted in (None, 0)
        self._drawn = list(self._events)
        self.query_one(".placeholder").display = not self._events
        choices.show(
            {key: event_line(each, clock_time(each.time)) for key, each in self._events.items()}
        )
        if was_newest and self._events:
            choices.highlighted = 0

    @on(OptionList.OptionHighlighted)
    def show_details(self) -> None:
        """Tell all of the event one points at."""
        event = self._events.get(self.query_one(ReadingList).chosen or "")
        text = event_details(event) if event else Content()
        self.query_one("#event-text", Static).update(text)
