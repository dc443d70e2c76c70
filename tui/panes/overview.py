"""Why a run was made, how it stands, what came of it, and where it comes from."""

from datetime import datetime
from typing import ClassVar

from textual.app import ComposeResult

from tui.panes.pane import Pane
from tui.reading.run_details import RunDetails
from tui.reading.run_overview import RunOverview
from tui.reading.run_reader import RunNews
from tui.widgets.facts import Facts
from tui.words.run_page import facts


class OverviewPane(Pane):
    """Tells what is known of a run."""

    TITLE: ClassVar[str] = "Overview"

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Begin with nothing known."""
        super().__init__(id=id)
        self._overview: RunOverview | None = None
        self._details: RunDetails | None = None
        self._now: datetime | None = None

    def compose(self) -> ComposeResult:
        """Lay out the facts."""
        yield Facts()

    def take(self, news: RunNews, now: datetime) -> None:
        """Keep how the run stands."""
        self._overview = news.overview or self._overview
        self._details = news.details or self._details
        self._now = now

    def draw(self) -> None:
        """Tell it."""
        if self._overview and self._now:
            self.query_one(Facts).show(facts(self._overview, self._details, self._now))
