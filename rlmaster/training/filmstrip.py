"""Film strips: some moments of an episode side by side, what was drawn of each below it.

Shapes: N moments, H height, W width.
"""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from rlmaster.training.pictures import (
    BACKDROP,
    GAP,
    HEADER,
    INK,
    PANEL,
    WHOLE_SCALE,
    WINDOW,
    Drawn,
    Window,
)

ROW_NAMES = 134
"""Width of the names on the left."""
GROUP_GAP = 18
"""Between whole frames and what is magnified of them."""
FRAME_LINE = (255, 176, 0)
"""Colour of the line around what is magnified, which is no grey and so no part of the game."""


def draw_filmstrip(moments: Drawn, steps: Sequence[int], caption: str) -> Image.Image:
    """Draw a column for each moment: three whole frames, and below them three magnified windows.

    Args:
        moments: What to draw.
        steps: When each moment is, in agent steps since the episode began.
        caption: Above it all.
    """
    tops = _row_tops()
    width = ROW_NAMES + len(steps) * (PANEL + GAP)
    strip = Image.new("RGB", (width, tops[-1] + PANEL + GAP), BACKDROP)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=14)
    draw.text((GAP, 3), caption, INK, font)
    for name, top in zip(moments.headings(), tops, strict=True):
        draw.text((GAP, top + PANEL // 2), name, INK, font, anchor="lm")
    for number, (window, step) in enumerate(zip(moments.windows, steps, strict=True)):
        left = ROW_NAMES + number * (PANEL + GAP)
        draw.text((left + PANEL // 2, HEADER + 1), f"step {step:,}", INK, font, anchor="ma")
        for panel, top in zip(moments.panels(number), tops, strict=True):
            strip.paste(panel, (left, top))
        draw.rectangle(_outline(window, left, tops[0]), outline=FRAME_LINE)
    return strip


def _row_tops() -> list[int]:
    """Return where each row of panels begins."""
    whole = [2 * HEADER + row * (PANEL + GAP) for row in range(3)]
    return [*whole, *(whole[-1] + PANEL + GROUP_GAP + row * (PANEL + GAP) for row in range(3))]


def _outline(window: Window, left: int, top: int) -> tuple[int, int, int, int]:
    """Return the line just outside of what is magnified, in a whole frame that begins there."""
    left, top = left + window.left * WHOLE_SCALE - 1, top + window.top * WHOLE_SCALE - 1
    side = WINDOW * WHOLE_SCALE + 1
    return left, top, left + side, top + side
