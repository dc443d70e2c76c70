"""A list of runs that holds and draws no more of them than one sees, and a little around."""

from dataclasses import dataclass
from datetime import datetime
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

from rlmaster.run_index.order import RunOrder
from rlmaster.run_status import State
from tui.reading.run_pages import BEST, FIRST_PAGE, RunLine, RunPage
from tui.widgets.run_columns import COLUMNS, Layout
from tui.words.wording import STATE_COLOURS, age

HEADER_LINES = 1
SCREENS_AROUND = 2
"""How many times what one sees is held above, and below."""
UNKNOWN = "…"
"""Stands for a row that has been scrolled to and is not read yet."""
NOTHING_FITS = "  No run fits; escape shows all of them."


class RunList(ScrollView, can_focus=True):
    """Runs, one a line, and a cursor that stays on its run while others come and go."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Open"),
        Binding("space", "mark", "Mark", key_display="␣"),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "move(-1_000_000_000)", "First", show=False),
        Binding("end,G", "move(1_000_000_000)", "Last", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "run-list--header",
        "run-list--cursor",
        "run-list--quiet",
        "run-list--mark",
        "run-list--best",
        "run-list--warning",
        *(f"run-list--{state}" for state in STATE_COLOURS),
    }

    cursor = reactive(0)
    """Row that `enter` opens."""
    marked: reactive[frozenset[str]] = reactive(frozenset[str]())
    """Paths of the runs that are marked, also of those that one does not see."""

    @dataclass
    class Chosen(Message):
        """The person chose a run."""

        path: str

    class Moved(Message):
        """Other rows are seen, or the cursor is on another run."""

    class MarksChanged(Message):
        """Other runs are marked."""

    @dataclass
    class SortAsked(Message):
        """The person clicked a title."""

        order: RunOrder

    def __init__(self) -> None:
        """Begin without runs."""
        super().__init__()
        self._page: RunPage | None = None
        self._now: datetime | None = None
        self._run = ""
        self._has_agents = False

    # -------------------------------------------------------------------------------- what is shown

    @property
    def line(self) -> RunLine | None:
        """The run under the cursor; None while that is not known."""
        return self._line(self.cursor)

    @property
    def run(self) -> str:
        """Path of the run that the cursor is to stay on; empty where it is to stay on its row."""
        return self._run

    @property
    def wanted(self) -> tuple[int, int]:
        """The first row that is to be held, and how many."""
        around = SCREENS_AROUND * self._visible_rows
        first = max(0, self.scroll_offset.y - around)
        return first, max(FIRST_PAGE, self._visible_rows + 2 * around)

    @property
    def lacks_rows(self) -> bool:
        """Whether one sees rows that are not held, or soon may."""
        if self._page is None:
            return False
        held, top = self._page.request.first, self.scroll_offset.y
        end = held + len(self._page.lines)
        soon = self._visible_rows
        return max(0, top - soon) < held or min(self._count, top + 2 * soon) > end

    @property
    def _count(self) -> int:
        return self._page.fitting if self._page else 0

    @property
    def _visible_rows(self) -> int:
        return max(1, self.size.height - HEADER_LINES)

    def _line(self, row: int) -> RunLine | None:
        if self._page is None:
            return None
        index = row - self._page.request.first
        return self._page.lines[index] if 0 <= index < len(self._page.lines) else None

    def show(self, page: RunPage, now: datetime) -> None:
        """Show what has been read; nothing is drawn again if no character would change."""
        before = self._seen()
        self._page, self._now = page, now
        self._has_agents = any(line.agent for line in page.lines)
        self.marked -= page.gone
        self.virtual_size = Size(self.size.width, page.fitting + HEADER_LINES)
        self._follow_run(page)
        if self._seen() != before:
            self.refresh()

    def _seen(self) -> object:
        """Return what decides how the list looks, the cursor and the marks apart."""
        if self._page is None or self._now is None:
            return None
        top = self.scroll_offset.y
        lines = [self._line(row) for row in range(top, top + self._visible_rows)]
        ages = [age(line.created, self._now) for line in lines if line]
        return self._page.request.order, self._count, lines, ages

    def _follow_run(self, page: RunPage) -> None:
        """Keep the cursor on its run, and the run where it was on the screen."""
        is_answer = page.request.run == self._run
        moved = page.row - self.cursor if is_answer and page.row is not None else 0
        if moved and self.scroll_offset.y > 0:
            self._scroll(self.scroll_offset.y + moved)
        self.cursor += moved  # also where that is nothing: there may be fewer runs than before
        if is_answer and page.row is None:
            self._take_run()

    def _take_run(self) -> None:
        """Stay, from now on, on the run that the cursor has come to."""
        before, line = self._run, self.line
        self._run = line.path if line else ""
        if self._run != before:
            self.post_message(self.Moved())

    def start_over(self) -> None:
        """Go to the first row, whichever run will be there."""
        self._run = ""
        self.cursor = 0
        self._scroll(0)

    def _scroll(self, row: int) -> None:
        self.scroll_to(y=row, animate=False, immediate=True)

    # ---------------------------------------------------------------------------------- the cursor

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor on a run."""
        return max(0, min(cursor, self._count - 1))

    def watch_cursor(self, before: int, cursor: int) -> None:
        """Bring the cursor's row into view, and draw what has changed."""
        first = max(0, cursor - self._visible_rows + 1)
        if not first <= self.scroll_offset.y <= cursor:
            row = first if self.scroll_offset.y < first else cursor
            self._scroll(row)
        for row in (before, cursor):
            self.refresh_line(row + HEADER_LINES)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Say that other rows are seen."""
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Moved())

    def watch_marked(self) -> None:
        """Draw the marks, and say that they are others."""
        self.refresh()
        self.post_message(self.MarksChanged())

    def on_resize(self) -> None:
        """Keep the cursor's row in view, and say that other rows are seen."""
        self.watch_cursor(self.cursor, self.cursor)
        self.post_message(self.Moved())

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self.cursor += rows
        self._take_run()

    def action_page(self, pages: int) -> None:
        """Move the cursor by what one sees."""
        self.action_move(pages * self._visible_rows)

    def action_choose(self) -> None:
        """Choose the run under the cursor."""
        if line := self.line:
            self.post_message(self.Chosen(line.path))

    def action_mark(self) -> None:
        """Mark the run under the cursor or take its mark away, and go on to the next."""
        if line := self.line:
            self.marked ^= {line.path}
            self.action_move(1)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to a row, choose the run that it is already on, or sort by a title."""
        row = self.scroll_offset.y + event.y - HEADER_LINES
        if event.y < HEADER_LINES:
            layout = Layout.for_width(self.size.width, has_agents=self._has_agents)
            self._sort_by(COLUMNS[layout.column_at(event.x)].order)
        elif row == self.cursor:
            self.action_choose()
        elif row < self._count:
            self.action_move(row - self.cursor)

    def _sort_by(self, order: RunOrder | None) -> None:
        """Ask for an order; for the oldest first where the newest are already."""
        if order is None or self._page is None:
            return
        is_so = self._page.request.order is order
        others = RunOrder.OLDEST if order is RunOrder.NEWEST else RunOrder.NEWEST
        self.post_message(self.SortAsked(others if is_so else order))

    # -------------------------------------------------------------------------------------- drawing

    def render_line(self, y: int) -> Strip:
        """Draw the titles, which stay, or the row that is scrolled there."""
        width = self.size.width
        layout = Layout.for_width(width, has_agents=self._has_agents)
        row = self.scroll_offset.y + y - HEADER_LINES
        base = self.rich_style
        if y < HEADER_LINES:
            order = self._page.request.order if self._page else RunOrder.NEWEST
            title, header = layout.titles(order), self._style("header")
            return _strip([Segment(title, header)], width, header)
        if row >= self._count:
            nothing = NOTHING_FITS if row == 0 and self._page and self._page.total else ""
            return _strip([Segment(nothing, self._style("quiet"))], width, base)
        if row == self.cursor:
            base += self._style("cursor")
        line = self._line(row)
        segments = self._cells(line, layout, base) if line else [Segment(f"  {UNKNOWN}", base)]
        return _strip(segments, width, base)

    def _cells(self, line: RunLine, layout: Layout, base: Style) -> list[Segment]:
        assert self._now is not None
        cells = layout.cells(line, self._now, marked=line.path in self.marked)
        segments: list[Segment] = []
        for name, text in cells.items():
            part = _part(name, line)
            style = base + Style(color=self._style(part).color) if part else base
            segments += [Segment(text, style), Segment(" ", base)]
        return segments

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"run-list--{part}")


def _part(column: str, line: RunLine) -> str:
    """Return which of the list's colours a cell has; empty for that of the text."""
    if column == "state" or (column == "done" and line.state == State.RUNNING):
        return line.state
    if column == "why" and line.unreachable:
        return "warning"
    if column == "standing":
        return "best" if line.standing == BEST else "warning"
    return "quiet" if COLUMNS[column].is_quiet else "mark" if column == "mark" else ""


def _strip(segments: list[Segment], width: int, style: Style) -> Strip:
    return Strip(segments).adjust_cell_length(width, style)
