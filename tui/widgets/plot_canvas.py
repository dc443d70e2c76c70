"""What curves are drawn on. Importing this module loads numpy, which takes a while."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy
from textual.strip import Strip
from textual_hires_canvas import Canvas, HiResMode

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from textual_hires_canvas.canvas import FloatScalar

    from tui.reading.curves import Floats

NO_DOTS = 0x2800
"""The braille character without dots; each dot adds its bit."""
DOT_BITS = numpy.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
ROWS, COLUMNS = DOT_BITS.shape
"""Dots of a cell."""
ALL_DOTS = NO_DOTS + int(DOT_BITS.sum())


class PlotCanvas(Canvas):
    """A canvas that draws a curve as a whole; dot by dot, twenty take a fifth of a second."""

    is_merging = False
    """Whether a cell shows all lines that cross it, in the colour of the last, or only that one."""

    def render_line(self, y: int) -> Strip:
        """Draw a line; an empty one has a style, for which each piece is asked without colours."""
        strip = super().render_line(y)
        return strip if strip.cell_length else Strip.blank(self.size.width, self.rich_style)

    def draw_hires_lines(
        self,
        coordinates: "Iterable[tuple[FloatScalar, FloatScalar, FloatScalar, FloatScalar]]",
        hires_mode: HiResMode | None = None,
        style: str = "white",
    ) -> None:
        """Draw straight lines as braille dots.

        Args:
            coordinates: Where each begins and ends, x before y, in cells.
            hires_mode: Of no meaning here: they are always of dots.
            style: Of the dots.
        """
        width, height = self.size
        ends = numpy.array(list(coordinates), dtype=float).reshape(-1, 2, 2)
        across, down = _dots(ends * (COLUMNS, ROWS))
        is_in = (across >= 0) & (across < width * COLUMNS) & (down >= 0) & (down < height * ROWS)
        is_set = numpy.zeros((height, ROWS, width, COLUMNS), dtype=bool)
        is_set.reshape(height * ROWS, width * COLUMNS)[down[is_in], across[is_in]] = True
        cells = numpy.einsum("hrwc,rc->hw", is_set, DOT_BITS)
        rows, columns = cells.nonzero()
        with self.batch_refresh():
            for y, x, bits in zip(rows, columns, cells[rows, columns], strict=True):
                there = self._bits(x, y) if self.is_merging else 0
                self.set_pixel(x, y, chr(NO_DOTS + (bits | there)), style)

    def _bits(self, x: int, y: int) -> int:
        """Return the dots that a cell has already."""
        character = ord(self.get_pixel(x, y)[0])
        return character - NO_DOTS if NO_DOTS < character <= ALL_DOTS else 0


def _dots(ends: "Floats") -> "tuple[NDArray[numpy.intp], NDArray[numpy.intp]]":
    """Return the dots of lines: as many on each as its longer side has."""
    first, last = numpy.floor(ends[:, 0]), numpy.floor(ends[:, 1])
    steps = numpy.abs(last - first).max(axis=1).astype(int)
    line = numpy.repeat(numpy.arange(len(steps)), steps + 1)
    begun = numpy.cumsum(steps + 1) - (steps + 1)
    share = (numpy.arange(len(line)) - begun[line]) / numpy.maximum(1, steps[line])
    dots = numpy.rint(first[line] + (last - first)[line] * share[:, None]).astype(int)
    return dots[:, 0], dots[:, 1]
