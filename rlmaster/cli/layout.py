"""Tables and paragraphs that fit their terminal, fast enough for thousands of rows.

Of a table, what matters less is cut first, and then left out.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from rlmaster.cli.terminal import plain

GAP = "  "
ELLIPSIS = "…"
COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "grey": 90}


@dataclass(frozen=True)
class Column:
    """One column; its cells stand in the same order as those of all others."""

    title: str
    cells: Sequence[str]
    """One line of plain text each."""
    least: int | None = None
    """Terminal cells it may be cut to; None where a part of a cell would say nothing."""
    importance: int = 0
    """Of columns that do not fit, the one of the highest number is left out; one of 0 never is."""
    colours: Sequence[str] = ()
    """One of COLOURS for each cell, or an empty text."""

    @property
    def width(self) -> int:
        """Terminal cells that it would like to have."""
        return max(cell_len(text) for text in (self.title, *self.cells))


def terminal_width() -> int | None:
    """Return the terminal cells of a line of output; None where it goes into a file or a pipe."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def is_coloured() -> bool:
    """Tell whether output may have colours: at a terminal, unless its owner wants none."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def one_line(text: str) -> str:
    """Return text for a cell: plain, and without line ends."""
    return " ".join(plain(text).split())


def table_lines(columns: Sequence[Column], width: int | None, *, coloured: bool) -> Iterator[str]:
    """Yield the lines of a table, its titles first.

    Args:
        columns: From left to right.
        width: Terminal cells that a line may take; None for no limit.
        coloured: Whether colours are used.
    """
    shown = _laid_out(columns, width)
    yield _line(shown, [column.title for column, _ in shown])
    for number in range(len(columns[0].cells)):
        cells = [column.cells[number] for column, _ in shown]
        colours = [column.colours[number] if column.colours else "" for column, _ in shown]
        yield _line(shown, cells, colours if coloured else ())


def _laid_out(columns: Sequence[Column], width: int | None) -> list[tuple[Column, int]]:
    """Choose the columns that are shown and the terminal cells that each has."""
    shown = [(column, column.width) for column in columns]
    if width is None:
        return shown
    while (spare := width - _least_width(shown)) < 0:
        least_important = max(shown, key=lambda one: one[0].importance)
        if not least_important[0].importance:
            break
        shown.remove(least_important)
    given: list[tuple[Column, int]] = []
    for column, wanted in shown:
        least = _least(column, wanted)
        more = min(wanted - least, max(spare, 0))
        spare -= more
        given.append((column, least + more))
    return given


def _least_width(shown: Sequence[tuple[Column, int]]) -> int:
    return sum(_least(column, wanted) for column, wanted in shown) + len(GAP) * (len(shown) - 1)


def _least(column: Column, wanted: int) -> int:
    return wanted if column.least is None else min(wanted, column.least)


def _line(
    shown: Sequence[tuple[Column, int]], texts: Sequence[str], colours: Sequence[str] = ()
) -> str:
    cells = [fitted(text, given) for text, (_, given) in zip(texts, shown, strict=True)]
    cells[-1] = cells[-1].rstrip()
    if colours:
        cells = [painted(cell, colour) for cell, colour in zip(cells, colours, strict=True)]
    return GAP.join(cells).rstrip()


def wrapped(text: str, width: int) -> list[str]:
    """Break text into lines of so many terminal cells, between words where that is possible."""
    lines: list[str] = []
    for paragraph in plain(text).expandtabs(4).splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if line and cell_len(longer) > width:
                lines.append(line)
                longer = word
            *full, line = _folded(longer, width)
            lines += full
        lines.append(line)
    return lines


def _folded(word: str, width: int) -> list[str]:
    """Cut a word that is longer than a line."""
    pieces: list[str] = []
    while cell_len(word) > width:
        end = next(n for n in range(1, len(word)) if cell_len(word[: n + 1]) > width)
        pieces.append(word[:end])
        word = word[end:]
    return [*pieces, word]


def fitted(text: str, width: int) -> str:
    """Return text in exactly so many terminal cells, with an ellipsis where it was cut."""
    length = len(text) if text.isascii() else cell_len(text)
    if length <= width:
        return text + " " * (width - length)
    return set_cell_size(text, width - 1) + ELLIPSIS


def painted(text: str, colour: str) -> str:
    """Return text in a colour of COLOURS; as it is without one."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if colour else text
