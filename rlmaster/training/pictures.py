"""Previews: original, reconstruction and difference, whole and magnified around what moves.

Shapes: N examples, H height, W width.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Frames = npt.NDArray[np.uint8]

WINDOW = 28
"""Side of the magnified window, in game pixels."""
ZOOM = 6
WHOLE_SCALE = 2
PANEL = WINDOW * ZOOM
GAP = 6
HEADER = 22
BACKDROP = (24, 26, 33)
INK = (226, 228, 233)
RARITY_FLOOR = 1.0
"""Grey levels that a pixel changes by on average and still counts as one that hardly ever moves."""


@dataclass(frozen=True)
class Window:
    """Which part of a frame is magnified: a square of WINDOW pixels."""

    top: int
    left: int

    def cut(self, frame: Frames) -> Frames:
        """Return the part of a frame `(H, W)`."""
        return frame[self.top : self.top + WINDOW, self.left : self.left + WINDOW]

    @classmethod
    def around(cls, row: float, column: float, frame_shape: Sequence[int]) -> Self:
        """Return the window with a place in its middle, or as near to it as the frame allows."""
        height, width = frame_shape
        top = int(np.clip(round(row) - WINDOW // 2, 0, height - WINDOW))
        return cls(top, int(np.clip(round(column) - WINDOW // 2, 0, width - WINDOW)))


def usual_motion(frames: Frames, previous: Frames) -> npt.NDArray[np.float32]:
    """Return how much each pixel changes on average between frames `(N, H, W)`, in grey levels."""
    return np.abs(frames.astype(np.int16) - previous).mean(axis=0, dtype=np.float32)


def moving_window(
    frame: Frames,
    previous: Frames,
    usual: npt.NDArray[np.float32],
    background: npt.NDArray[np.number],
) -> tuple[Window, float]:
    """Find the window around what moves most, and how surprising that motion is.

    A pixel's change counts in proportion to how rarely that pixel changes: a ball of two pixels
    that may be anywhere outweighs a paddle that always moves in the same column.

    Args:
        frame: `(H, W)`.
        previous: The frame before it, `(H, W)`.
        usual: What `usual_motion` gave.
        background: What each pixel shows most of the time, `(H, W)`.
    """
    surprise = np.abs(frame.astype(np.int16) - previous) / (usual + RARITY_FLOOR)
    surprise *= frame != background  # where a thing is now, not where it has left
    row, column = np.unravel_index(int(surprise.argmax()), surprise.shape)
    return Window.around(int(row), int(column), frame.shape), float(surprise.max())


@dataclass(frozen=True)
class Drawn:
    """Some frames, what an embedder drew of them, and where to look closely."""

    originals: Frames
    """What should come out, `(N, H, W)`."""
    drawn: Frames
    """What did, `(N, H, W)`."""
    windows: Sequence[Window]
    """What to magnify of each."""
    drawing: str = "reconstruction"
    """What pictures call what came out: reconstruction, or prediction."""

    @property
    def titles(self) -> tuple[str, str, str]:
        """What the three pictures of a moment are called."""
        return ("original", self.drawing, "difference")

    @property
    def error(self) -> float:
        """Mean squared error of the pixels, each in [0, 1]."""
        return float(np.mean(((self.originals.astype(np.float32) - self.drawn) / 255) ** 2))

    def panels(self, number: int) -> list[Image.Image]:
        """Return the pictures of a moment: three whole, then three magnified."""
        original, drawn = self.originals[number], self.drawn[number]
        frames = (original, drawn, np.abs(original.astype(np.int16) - drawn).astype(np.uint8))
        closely = [magnify(self.windows[number].cut(frame), ZOOM) for frame in frames]
        return [magnify(frame, WHOLE_SCALE) for frame in frames] + closely

    def headings(self) -> list[str]:
        """Return what is written beside each of the six pictures."""
        return [*self.titles, *(f"{title}, x{ZOOM}" for title in self.titles)]


def draw_preview(examples: Drawn, caption: str) -> Image.Image:
    """Draw a row for each example: three whole frames, small, then three magnified windows.

    Args:
        examples: What to draw.
        caption: Step and error, above the panels.
    """
    width = 6 * PANEL + 7 * GAP
    height = 2 * HEADER + len(examples.originals) * (PANEL + GAP) + GAP
    picture = Image.new("RGB", (width, height), BACKDROP)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=14)
    draw.text((GAP, 3), caption, INK, font)
    lefts = [GAP + column * (PANEL + GAP) for column in range(6)]
    for left, heading in zip(lefts, examples.headings(), strict=True):
        draw.text((left, HEADER + 1), heading, INK, font)
    for number in range(len(examples.originals)):
        top = 2 * HEADER + number * (PANEL + GAP)
        for left, panel in zip(lefts, examples.panels(number), strict=True):
            picture.paste(panel, (left, top))
    top = 2 * HEADER
    boxes = [(left, top, left + PANEL, top + PANEL) for left in lefts[3:]]
    picture.info["zoomed_panels"] = json.dumps(boxes)
    return picture


def magnify(frame: Frames, scale: int) -> Image.Image:
    """Return a grey frame `(H, W)` at an integer scale, every pixel a square."""
    return Image.fromarray(frame.repeat(scale, axis=0).repeat(scale, axis=1)).convert("RGB")
