"""Previews: original, reconstruction and difference, whole and magnified around what moves.

Shapes: N examples, H height, W width.
"""

import json
from dataclasses import dataclass

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
COLUMNS = ("original", "reconstruction", "difference")
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
    height, width = frame.shape
    top = int(np.clip(int(row) - WINDOW // 2, 0, height - WINDOW))
    left = int(np.clip(int(column) - WINDOW // 2, 0, width - WINDOW))
    return Window(top, left), float(surprise.max())


def draw_preview(
    originals: Frames, reconstructions: Frames, windows: list[Window], caption: str
) -> Image.Image:
    """Draw a row for each example: three whole frames, small, then three magnified windows.

    Args:
        originals: `(N, H, W)`.
        reconstructions: `(N, H, W)`.
        windows: What to magnify in each example.
        caption: Step and error, above the panels.
    """
    width = 6 * PANEL + 7 * GAP
    height = 2 * HEADER + len(originals) * (PANEL + GAP) + GAP
    picture = Image.new("RGB", (width, height), BACKDROP)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=14)
    draw.text((GAP, 3), caption, INK, font)
    boxes: list[tuple[int, int, int, int]] = []
    for number, (original, drawn, window) in enumerate(
        zip(originals, reconstructions, windows, strict=True)
    ):
        difference = np.abs(original.astype(np.int16) - drawn).astype(np.uint8)
        panels = [(frame, WHOLE_SCALE) for frame in (original, drawn, difference)]
        panels += [(window.cut(frame), ZOOM) for frame in (original, drawn, difference)]
        top = 2 * HEADER + number * (PANEL + GAP)
        for column, (frame, scale) in enumerate(panels):
            left = GAP + column * (PANEL + GAP)
            picture.paste(magnify(frame, scale), (left, top))
            if number == 0:
                draw.text((left, HEADER + 1), _heading(column), INK, font)
                boxes.append((left, top, left + PANEL, top + PANEL))
    picture.info["zoomed_panels"] = json.dumps(boxes[3:])
    return picture


def magnify(frame: Frames, scale: int) -> Image.Image:
    """Return a grey frame `(H, W)` at an integer scale, every pixel a square."""
    return Image.fromarray(frame.repeat(scale, axis=0).repeat(scale, axis=1)).convert("RGB")


def _heading(column: int) -> str:
    return COLUMNS[column] if column < len(COLUMNS) else f"{COLUMNS[column - 3]}, x{ZOOM}"
