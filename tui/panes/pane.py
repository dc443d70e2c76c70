"""What all parts of a run's screen have in common."""

from datetime import datetime
from typing import ClassVar

from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from tui.reading.run_reader import RunNews


class Pane(Vertical):
    """Takes what is new of a run, and draws it only while it can be seen."""

    TITLE: ClassVar[str] = ""

    is_shown = reactive(False)
    """Whether the pane can be seen."""

    _said_below = ""

    def take(self, news: RunNews, now: datetime) -> None:
        """Keep what is new."""

    def draw(self) -> None:
        """Show what was kept."""

    def watch_is_shown(self) -> None:
        """Draw what has come while the pane was hidden."""
        if self.is_shown:
            self.draw()

    def say_below(self, text: str) -> None:
        """Write something into the lower border, and leave the pane alone where it is there."""
        if text != self._said_below:
            self._said_below = text
            self.border_subtitle = Content(text)  # type: ignore

    def focus_inside(self) -> None:
        """Give the keys to what is in the pane, at once: the next key may be on its way."""
        focusable = (widget for widget in self.query(Widget) if widget.focusable)
        self.screen.set_focus(next(focusable, self))
