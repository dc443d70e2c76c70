"""A list of runs that draws only the rows one sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.plain_text import fit, one_line
from tui.run_overview import RunOverview
from tui.wording import STATE_COLOURS, age, result, share

HEADER_LINES = 1
NUMBER_WIDTH = 9
QUIET_COLUMNS = frozenset({"run", "age", "rationale"})


@dataclass(frozen=True)
class Columns:
    """How wide each column is, in cells; one of width 0 is not shown."""

    state: int = 10
    experiment: int = 16
    run: int = 0
    done: int = 5
    result: int = NUMBER_WIDTH
    age: int = 4
    rationale: int = 0

    @classmethod
    def for_width(cls, width: int) -> "Columns":
        """Share out a width: what a run is and came to first, then the rest."""
        if width < 76:
            columns = cls()
        elif width < 110:
            columns = cls(experiment=18, run=6)
        else:
            columns = cls(experiment=24, run=6, result=28)
        taken = sum(1 + column for column in vars(columns).values() if column)
        return cls(**{**vars(columns), "rationale": max(0, width - 2 - taken)})

    def line(self, texts: dict[str, str]) -> dict[str, str]:
        """Cut each column's text to its width; columns that are not shown are left out."""
        return {name: fit(texts[name], width) for name, width in vars(self).items() if width}


TITLES = {name: name for name in vars(Columns())}


class RunList(ScrollView, can_focus=True):
    """Runs, one a line, and a cursor that stays on its run while others come and go."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Open"),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-1_000_000)", "Newest", show=False),
        Binding("end", "move(1_000_000)", "Oldest", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "run-list--header",
        "run-list--cursor",
        "run-list--quiet",
        *(f"run-list--{state}" for state in STATE_COLOURS),
    }

    cursor = reactive(0)
    """Row that `enter` opens."""

    @dataclass
    class Chosen(Message):
        """The person chose a run."""

        path: Path

    def __init__(self) -> None:
        """Begin without runs."""
        super().__init__()
        self._runs: Sequence[RunOverview] = ()
        self._ages: list[str] = []

    def show(self, runs: Sequence[RunOverview], now: datetime) -> None:
        """Show these runs, aged by `now`; nothing is drawn again if no character would change."""
        ages = [age(run.created, now) for run in runs]
        if (runs, ages) == (self._runs, self._ages):
            return
        chosen = self._runs[self.cursor].path if self._runs else None
        paths = [run.path for run in runs]
        self._runs, self._ages = runs, ages
        self.virtual_size = Size(self.size.width, len(runs) + HEADER_LINES)
        self.cursor = paths.index(chosen) if chosen in paths else self.cursor
        self.refresh()

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor on a run."""
        return max(0, min(cursor, len(self._runs) - 1))

    def watch_cursor(self) -> None:
        """Bring the cursor's row into view."""
        first = max(0, self.cursor - self._visible_rows + 1)
        if not first <= self.scroll_offset.y <= self.cursor:
            row = first if self.scroll_offset.y < first else self.cursor
            self.scroll_to(y=row, animate=False)
        self.refresh()

    @property
    def _visible_rows(self) -> int:
        return max(1, self.size.height - HEADER_LINES)

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self.cursor += rows

    def action_page(self, pages: int) -> None:
        """Move the cursor by what one sees."""
        self.cursor += pages * self._visible_rows

    def action_choose(self) -> None:
        """Choose the run under the cursor."""
        if self._runs:
            self.post_message(self.Chosen(self._runs[self.cursor].path))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to a row; choose the run that it is already on."""
        row = self.scroll_offset.y + event.y - HEADER_LINES
        if event.y < HEADER_LINES or row >= len(self._runs):
            return
        if row == self.cursor:
            self.action_choose()
        self.cursor = row

    def render_line(self, y: int) -> Strip:
        """Draw the titles, which stay, or the row that is scrolled there."""
        width = self.size.width
        columns = Columns.for_width(width)
        row = self.scroll_offset.y + y - HEADER_LINES
        base = self.rich_style
        if y < HEADER_LINES:
            title = " " + " ".join(columns.line(TITLES).values())
            return _strip([Segment(title, self._style("header"))], width, self._style("header"))
        if row >= len(self._runs):
            return Strip.blank(width, base)
        if row == self.cursor:
            base += self._style("cursor")
        return _strip(self._cells(row, columns, base), width, base)

    def _cells(self, row: int, columns: Columns, base: Style) -> list[Segment]:
        run = self._runs[row]
        texts = {
            "state": run.state,
            "experiment": run.name,
            "run": run.short_id,
            "done": share(run.progress.step, run.progress.total),
            "result": result(run.progress.result, with_before=columns.result > NUMBER_WIDTH),
            "age": self._ages[row],
            "rationale": one_line(run.rationale),
        }
        segments: list[Segment] = []
        for name, text in columns.line(texts).items():
            style = base
            if name == "state" and run.state in STATE_COLOURS:
                style = base + Style(color=self._style(run.state).color)
            elif name in QUIET_COLUMNS:
                style = base + Style(color=self._style("quiet").color)
            segments += [Segment(" ", base), Segment(text, style)]
        return segments

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"run-list--{part}")


def _strip(segments: list[Segment], width: int, style: Style) -> Strip:
    return Strip(segments).adjust_cell_length(width, style)
