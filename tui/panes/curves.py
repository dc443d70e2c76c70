"""What a run measured, over its steps."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from rlmaster.run_folder import RunFolder
from tui.panes.pane import Pane
from tui.reading.curves import FIRST_SCALARS, Curve, Line
from tui.reading.run_reader import RunNews, RunReader
from tui.screens.run_choice import RunChoiceScreen
from tui.screens.scalar_choice import ScalarChoiceScreen
from tui.words.plain_text import one_line

if TYPE_CHECKING:
    from tui.widgets.curve_plot import CurvePlot


class CurvesPane(Pane, can_focus=True):
    """Shows some scalars of a run, and the same ones of another run beside them."""

    TITLE: ClassVar[str] = "Curves"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "choose_scalars", "Scalars"),
        Binding("o", "lay_over", "Other run"),
    ]

    def __init__(self, id: str, folder: RunFolder, reader: RunReader) -> None:  # noqa: A002
        """Say whose curves they are, and who reads those of another run."""
        super().__init__(id=id)
        self._folder = folder
        self._reader = reader
        self._other: RunFolder | None = None
        self._plot: CurvePlot | None = None
        self._curves: Mapping[str, Curve] = {}
        self._other_curves: Mapping[str, Curve] = {}
        self._tags: list[str] = []
        self._is_drawn = False

    def compose(self) -> ComposeResult:
        """Say that there is nothing, until there is."""
        yield Static("No scalars yet.", classes="placeholder")

    def take(self, news: RunNews, now: datetime) -> None:
        """Keep the curves, and settle which are shown first."""
        if news.curves is None and news.other_curves is None:
            return
        self._is_drawn = False
        self._curves = self._curves if news.curves is None else news.curves
        if self._other and news.other_curves is not None:
            self._other_curves = news.other_curves
        self._tags = [tag for tag in self._tags if tag in self._curves]
        if not self._tags and self._curves:
            preferred = (tag for tag in FIRST_SCALARS if tag in self._curves)
            self._tags = [next(preferred, next(iter(self._curves)))]

    def draw(self) -> None:
        """Draw them, unless they are drawn already."""
        if self._tags and not self._is_drawn:
            self._is_drawn = True
            self._plotted().show_lines(self._lines())

    def _lines(self) -> list[Line]:
        own = f" {one_line(self._folder.short_id)}" if self._other else ""
        lines = [Line.of(f"{tag}{own}", self._curves[tag]) for tag in self._tags]
        if self._other:
            other = one_line(self._other.short_id)
            lines += [
                Line.of(f"{tag} {other}", self._other_curves[tag])
                for tag in self._tags
                if tag in self._other_curves
            ]
        return lines

    def _plotted(self) -> "CurvePlot":
        """Return the plot, made once the thread that read the curves has loaded numpy."""
        if self._plot is None:
            from tui.widgets.curve_plot import CurvePlot

            self._plot = CurvePlot(is_interactive=True)
            self.query(".placeholder").remove()
            self.mount(self._plot)
            self.call_after_refresh(self._hand_on_focus)
        return self._plot

    def _hand_on_focus(self) -> None:
        """Give the keys to the plot, if they are still here: the person may have gone elsewhere."""
        had_focus, self.can_focus = self.screen.focused is self, False
        if had_focus:
            self.screen.set_focus(self._plot)

    def action_choose_scalars(self) -> None:
        """Ask which scalars shall be shown."""
        if self._curves:
            dialog = ScalarChoiceScreen(list(self._curves), self._tags)
            self.app.push_screen(dialog, self._show_scalars)  # pyright: ignore[reportUnknownMemberType]

    def _show_scalars(self, tags: list[str] | None) -> None:
        if tags:
            self._tags = tags
            self._draw_anew()

    def action_lay_over(self) -> None:
        """Ask for another run to be shown beside this one; where there is one, take it away."""
        if self._other:
            self._lay_over(None)
            return
        runs = self._folder.path.parent.parent
        dialog = RunChoiceScreen(runs, "Lay over", self._folder)
        self.app.push_screen(dialog, lambda path: path and self._lay_over(path))  # pyright: ignore[reportUnknownMemberType]

    def _lay_over(self, path: Path | None) -> None:
        self._other = RunFolder(path) if path else None
        self._other_curves = {}
        self._reader.lay_over(self._other)
        self._draw_anew()

    def _draw_anew(self) -> None:
        self._is_drawn = False
        self.draw()
