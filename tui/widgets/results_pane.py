"""What each of several experiments came to, as wide as there is room."""

from textual.containers import ScrollableContainer
from textual.widgets import Static

from rlmaster.reports.comparison import Comparison
from tui.words.compare_text import results


class ResultsPane(ScrollableContainer):
    """Draws results anew with each width that it gets."""

    def __init__(self, id: str, classes: str) -> None:  # noqa: A002  Textual's word
        """Begin without results."""
        super().__init__(Static(id="result-lines"), id=id, classes=classes)
        self._comparison: Comparison | None = None

    def show(self, comparison: Comparison) -> None:
        """Show these results."""
        self._comparison = comparison
        self._draw()

    def on_resize(self) -> None:
        """Fill the new width."""
        self._draw()

    def _draw(self) -> None:
        if self._comparison is not None:
            lines = results(self._comparison, self.content_size.width)
            self.query_one("#result-lines", Static).update(lines)
