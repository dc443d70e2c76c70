"""Several runs side by side: their curves, what each experiment came to, in what they differ."""

# pyright: reportUnknownMemberType=false
# Textual leaves open what its own `app` is.

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Footer, Static

from rlmaster.project import Project
from rlmaster.reports.comparison import Comparison
from rlmaster.run_folder import RunFolder
from tui.messages import ChooseAction, OpenRun
from tui.reading.compare_reader import CompareReader, ComparisonRead, CurvesRead
from tui.reading.curves import FIRST_SCALARS, Curve, Line
from tui.screens.acting import ACTIONS_KEY
from tui.screens.polling import PollingScreen
from tui.screens.scalar_choice import ScalarChoiceScreen
from tui.widgets.difference_table import DifferenceTable
from tui.widgets.results_pane import ResultsPane
from tui.words.compare_text import title
from tui.words.plain_text import one_line

if TYPE_CHECKING:
    from tui.widgets.curve_plot import CurvePlot

PANES = {"curves": "Curves", "results": "Results", "differences": "What differs"}
ROOM_FOR_ALL_PANES = (110, 32)


class CompareScreen(PollingScreen):
    """Shows what several runs have in common, and what not."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"show_pane('{name}')", words, show=False)
            for number, (name, words) in enumerate(PANES.items(), start=1)
        ),
        Binding("s", "choose_scalars", "Scalars"),
        ACTIONS_KEY,
        Binding("escape", "app.pop_screen", "Back"),
    ]

    def __init__(
        self, project: Project, folders: Sequence[RunFolder], clock: Callable[[], datetime]
    ) -> None:
        """Say which runs."""
        reader = CompareReader(project.runs, folders)
        super().__init__(look=lambda: reader.look(self.post_message))
        self._folders = folders
        self._runs = project.runs
        self._clock = clock
        self._pane = "curves"
        self._comparison: Comparison | None = None
        self._curves: dict[Path, Mapping[str, Curve]] = {}
        self._tags: list[str] = []
        self._plot: CurvePlot | None = None

    def compose(self) -> ComposeResult:
        """Lay out a title and three panes."""
        yield Static(Content.styled("reading the runs …", "$foreground-muted"), id="title")
        yield Static(id="compare-tabs")
        with Container(id="compare-panes"):
            with Vertical(id="curves", classes="compare-pane"):
                yield Static("No scalars yet.", classes="placeholder")
            yield ResultsPane(id="results", classes="compare-pane")
            with Vertical(id="differences", classes="compare-pane"):
                yield Static(id="same")
                yield DifferenceTable(id="difference-table")
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Begin with the curves."""
        for number, (name, words) in enumerate(PANES.items(), start=1):
            self.query_one(f"#{name}").border_title = f"{number} {words}"
        self.query_one("#results").border_subtitle = "intervals by Student's t"
        self.action_show_pane("curves")

    # -------------------------------------------------------------------------------------- panes

    def on_resize(self, _event: events.Resize) -> None:
        """Show all panes where there is room for them."""
        self._arrange()

    def _arrange(self) -> None:
        columns, rows = ROOM_FOR_ALL_PANES
        is_one = self.size.width < columns or self.size.height < rows
        self.set_class(is_one, "-one-pane")
        self.query_one("#compare-tabs", Static).update(_tabs(self._pane))
        for name in PANES:
            self.query_one(f"#{name}").set_class(name == self._pane, "-chosen")

    def action_show_pane(self, name: str) -> None:
        """Bring a pane to the front, for the eyes and for the keys."""
        self._pane = name
        self._arrange()
        inside = {"results": "#results", "differences": "#difference-table"}.get(name)
        if inside:
            self.query_one(inside).focus()
        elif self._plot:
            self._plot.focus()
        else:
            self.set_focus(None)

    # ----------------------------------------------------------------------------------- comparing

    @on(ComparisonRead)
    def take_comparison(self, message: ComparisonRead) -> None:
        """Show how the runs stand now."""
        self._comparison = message.comparison
        self.query_one("#title", Static).update(title(message.comparison, message.gone))
        self.query_one(ResultsPane).show(message.comparison)
        self._show_differences(message.comparison)
        self._draw_curves()

    def _show_differences(self, comparison: Comparison) -> None:
        same = f"{comparison.same} fields are the same in all runs"
        self.query_one("#same", Static).update(Content.styled(same, "$foreground-muted"))
        self.query_one(DifferenceTable).show(comparison)

    # -------------------------------------------------------------------------------------- curves

    @on(CurvesRead)
    def take_curves(self, message: CurvesRead) -> None:
        """Keep what was read, and settle which scalar is shown first."""
        self._curves |= message.curves
        known = self._known_tags()
        self._tags = [tag for tag in self._tags if tag in known]
        if not self._tags and known:
            preferred = (tag for tag in FIRST_SCALARS if tag in known)
            self._tags = [next(preferred, known[0])]
        self._draw_curves()

    def _known_tags(self) -> list[str]:
        return sorted({tag for curves in self._curves.values() for tag in curves})

    def _draw_curves(self) -> None:
        if self._comparison is None or not self._tags:
            return
        if self._plot is None:  # the thread that read the curves has loaded numpy
            from tui.widgets.curve_plot import CurvePlot

            self._plot = CurvePlot(is_interactive=True)
            pane = self.query_one("#curves")
            pane.query(".placeholder").remove()
            pane.mount(self._plot)
            if self._pane == "curves":
                self.call_after_refresh(self._plot.focus)
        self.query_one("#curves").border_subtitle = Content(", ".join(self._tags))  # type: ignore
        self._plot.show_lines(self._lines(self._comparison))

    def _lines(self, comparison: Comparison) -> list[Line]:
        """Return a line for each run and scalar; the letter of a run is that of its column."""
        several = len(self._tags) > 1
        return [
            Line.of(
                one_line(row.short_id) + (f" {tag}" if several else ""),
                self._curves.get(self._runs / row.path, {}).get(tag, _nothing()),
            )
            for tag in self._tags
            for row in comparison.rows
        ]

    def action_choose_scalars(self) -> None:
        """Ask which scalars shall be shown."""
        if known := self._known_tags():
            self.app.push_screen(ScalarChoiceScreen(known, self._tags), self._show_scalars)

    def _show_scalars(self, tags: list[str] | None) -> None:
        if tags:
            self._tags = tags
            self._draw_curves()

    # -------------------------------------------------------------------------------------- acting

    def runs_at_hand(self) -> Sequence[Path]:
        """Return the folders of the runs that are compared."""
        return [folder.path for folder in self._folders]

    def action_choose_action(self) -> None:
        """Ask what shall be done with the runs."""
        self.post_message(ChooseAction(list(self.runs_at_hand())))

    @on(DifferenceTable.Chosen)
    def open_run(self, message: DifferenceTable.Chosen) -> None:
        """Open the run of a column."""
        self.post_message(OpenRun(self._runs / message.path))


def _nothing() -> Curve:
    """Return a curve without points."""
    import numpy

    return Curve(numpy.zeros(0), numpy.zeros(0))


def _tabs(chosen: str) -> Content:
    """Name all panes, the chosen one brighter."""
    return Content("  ").join(
        Content.styled(f"{number} {words}", "bold reverse" if name == chosen else "dim")
        for number, (name, words) in enumerate(PANES.items(), start=1)
    )
