"""A log that follows its end, and in which one can search."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

KEPT_LINES = 5000
LONGEST_LINE = 2000
"""Characters of a line that are kept; a whole picture in base64 is no reading matter."""


class LogView(ScrollView, can_focus=True):
    """Lines that come, the last in view until one scrolls up; long ones scroll sideways."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("f", "toggle_following", "Follow"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log-view--found", "log-view--present"}
    DEFAULT_CSS = """
    LogView {
        & > .log-view--found { background: $warning 40%; text-style: underline; }
        & > .log-view--present { background: $warning; color: $background; text-style: bold; }
    }
    """

    is_following = reactive(True)
    """Whether the last line stays in view when more come."""

    class Moved(Message):
        """What is seen of the log, or found in it, is something else than before."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002  Textual's word
        """Begin without lines."""
        super().__init__(id=id)
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._width = 0
        self._sought = ""
        self._found: list[int] = []
        self._place = -1

    @property
    def line_count(self) -> int:
        """How many lines are kept."""
        return len(self._lines)

    @property
    def found(self) -> tuple[int, int]:
        """Which match one is at, from 1, and how many lines match."""
        return self._place + 1, len(self._found)

    def write_lines(self, lines: Iterable[str]) -> None:
        """Take in more lines, which are safe to show."""
        cut = [line[:LONGEST_LINE] for line in lines]
        dropped = max(0, len(self._lines) + len(cut) - KEPT_LINES)
        self._lines.extend(cut)
        self._width = max([self._width, *map(cell_len, cut)])
        self.virtual_size = Size(self._width, len(self._lines))
        if dropped and not self.is_following:
            self.scroll_to(y=max(0, self.scroll_offset.y - dropped), animate=False)
        self._search_again()
        self._follow()
        self.refresh()

    # ----------------------------------------------------------------------------------- following

    def watch_is_following(self) -> None:
        """Go to the end, to stay there."""
        self._follow()
        self.post_message(self.Moved())

    def action_toggle_following(self) -> None:
        """Follow, or stay where one is."""
        self.is_following = not self.is_following

    def on_resize(self, event: events.Resize) -> None:
        """Keep the last line in view."""
        self._follow()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow no more once somebody scrolls up; follow again at the end."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and new_value < self.max_scroll_y:
            self.is_following = False
        elif new_value >= self.max_scroll_y and self._place < 0:
            self.is_following = True

    def _follow(self) -> None:
        if self.is_following and self.is_mounted:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    # ----------------------------------------------------------------------------------- searching

    def search(self, text: str) -> None:
        """Mark what is sought, whatever its case, and go to where it stands last."""
        self._sought, self._place = text.casefold(), -1
        self._search_again()
        if self._found:
            self.go_to_match(-1)
        self.refresh()
        self.post_message(self.Moved())

    def go_to_match(self, by: int) -> None:
        """Go to the line before or after that matches; from one end to the other."""
        if not self._found:
            return
        self.is_following = False
        start = self._place if self._place >= 0 else (0 if by < 0 else -1)
        self._place = (start + by) % len(self._found)
        line = self._found[self._place]
        self.scroll_to(y=max(0, line - self.size.height // 2), animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved())

    def _search_again(self) -> None:
        lines = enumerate(self._lines) if self._sought else ()
        self._found = [index for index, line in lines if self._sought in line.casefold()]
        self._place = min(self._place, len(self._found) - 1)

    # ------------------------------------------------------------------------------------- drawing

    def render_line(self, y: int) -> Strip:
        """Draw the line that is scrolled there, with what is sought marked in it."""
        left, top = self.scroll_offset
        index, width = top + y, self.size.width
        if index >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        is_present = 0 <= self._place < len(self._found) and self._found[self._place] == index
        mark = "log-view--present" if is_present else "log-view--found"
        pieces = self._marked(self._lines[index], self.get_component_rich_style(mark))
        strip = Strip([Segment(text, style) for text, style in pieces])
        return strip.crop(left, left + width).adjust_cell_length(width, self.rich_style)

    def _marked(self, line: str, mark: Style) -> Iterator[tuple[str, Style]]:
        """Cut a line where what is sought begins and ends."""
        base, folded, start = self.rich_style, line.casefold(), 0
        # Folding may change how long a line is; where it does, the line is shown without marks.
        while self._sought and len(folded) == len(line):
            place = folded.find(self._sought, start)
            if place < 0:
                break
            end = place + len(self._sought)
            yield line[start:place], base
            yield line[place:end], base + mark
            start = end
        yield line[start:], base
