"""A picture of what a terminal shows: lines of styled text drawn cell by cell.

Block elements and braille are drawn as the shapes that they stand for, since a font leaves gaps
between them; everything else is drawn in the font that comes with matplotlib.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont
from rich.cells import cell_len
from rich.style import Style
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from textual.strip import Strip

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 10, 20, 16
Colour = tuple[int, int, int]
FOREGROUND: Colour = (224, 224, 224)
BACKGROUND: Colour = (18, 18, 18)
DIM = 0.6
"""How much of its colour dim text keeps before its background."""
BRAILLE = 0x2800
DOTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
"""Column and row of each of a braille character's bits."""
LOWER_EIGHTHS, LEFT_EIGHTHS = "▁▂▃▄▅▆▇█", "▏▎▍▌▋▊▉█"
QUADRANTS = {"▘": 1, "▝": 2, "▖": 4, "▗": 8, "▚": 9, "▞": 6, "▛": 7, "▜": 11, "▙": 13, "▟": 14}
"""Bits: upper left, upper right, lower left, lower right."""
Box = tuple[float, float, float, float]


def draw_terminal(lines: Sequence[Strip], width: int) -> Image.Image:
    """Draw lines of a terminal.

    Args:
        lines: What it shows, from the top.
        width: Its columns.

    Returns:
        A picture of CELL_WIDTH x CELL_HEIGHT pixels a cell.
    """
    size = (width * CELL_WIDTH, len(lines) * CELL_HEIGHT)
    picture = Image.new("RGB", size, BACKGROUND)
    pencil = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        column = 0
        for text, style, _ in line:
            for character in text:
                _draw_cell(pencil, column, row, character, style or Style.null())
                column += cell_len(character)
    return picture


def _draw_cell(
    pencil: ImageDraw.ImageDraw, column: int, row: int, character: str, style: Style
) -> None:
    ink, paper = _colours(style)
    left, top = column * CELL_WIDTH, row * CELL_HEIGHT
    width = CELL_WIDTH * max(1, cell_len(character))
    pencil.rectangle((left, top, left + width - 1, top + CELL_HEIGHT - 1), fill=paper)
    boxes = _boxes(character)
    for x0, y0, x1, y1 in boxes:
        corners = (left + x0, top + y0, left + x1 - 1, top + y1 - 1)
        pencil.rectangle(tuple(map(round, corners)), fill=ink)
    if not boxes and character.strip():
        font = _font(bool(style.bold))
        baseline = top + CELL_HEIGHT - 5
        pencil.text((left, baseline), character, fill=ink, font=font, anchor="ls")
    if style.underline:
        pencil.line((left, top + CELL_HEIGHT - 2, left + width, top + CELL_HEIGHT - 2), fill=ink)


def _colours(style: Style) -> tuple[Colour, Colour]:
    """Return the colours of text and background."""
    theme = DEFAULT_TERMINAL_THEME
    ink = FOREGROUND if style.color is None else tuple(style.color.get_truecolor(theme))
    paper = BACKGROUND if style.bgcolor is None else tuple(style.bgcolor.get_truecolor(theme))
    if style.reverse:
        ink, paper = paper, ink
    if style.dim:
        mixed = [round(DIM * i + (1 - DIM) * p) for i, p in zip(ink, paper, strict=True)]
        ink = (mixed[0], mixed[1], mixed[2])
    return ink, paper


@lru_cache(maxsize=4096)
def _boxes(character: str) -> tuple[Box, ...]:
    """Return the rectangles that a block or braille character consists of, in pixels of a cell."""
    wide, high = CELL_WIDTH, CELL_HEIGHT
    if character == "▀":
        return ((0, 0, wide, high / 2),)
    if character == "▐":
        return ((wide / 2, 0, wide, high),)
    if character in LOWER_EIGHTHS:
        return ((0, high * (1 - (LOWER_EIGHTHS.index(character) + 1) / 8), wide, high),)
    if character in LEFT_EIGHTHS:
        return ((0, 0, wide * (LEFT_EIGHTHS.index(character) + 1) / 8, high),)
    if bits := QUADRANTS.get(character, 0):
        return tuple(
            (x * wide / 2, y * high / 2, (x + 1) * wide / 2, (y + 1) * high / 2)
            for bit, (x, y) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1)))
            if bits >> bit & 1
        )
    bits = ord(character) - BRAILLE
    if 0 < bits < 256:
        return tuple(
            (wide * (x + 0.5) / 2 - 1, high * (y + 0.5) / 4 - 1, wide * (x + 0.5) / 2 + 1.5,
             high * (y + 0.5) / 4 + 1.5)
            for bit, (x, y) in enumerate(DOTS)
            if bits >> bit & 1
        )  # fmt: skip
    return ()


@lru_cache(maxsize=2)
def _font(is_bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSansMono-Bold.ttf" if is_bold else "DejaVuSansMono.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, FONT_SIZE)
