"""Whether the ball is still there in what an embedder draws, where the true frame shows it.

Shapes: B frames, H height, W width, R side of what is looked at. Grey levels are in [0, 1], places
are (row, column) in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from rlmaster.embedders.foreground import FOREGROUND_CONTRAST

MARGIN = 1
"""Pixels around the ball's box that count as well: a ball that is drawn too large is no ball."""
SEARCH = 8
"""How far from the true ball the drawn one is looked for, in pixels up and down, left and right."""
NEAR_ENOUGH = 2.0
"""Distance in pixels at which a drawn ball is still where the true one is."""
BLOB = 2
"""Reach in pixels around the brightest one that belong to the same drawn ball."""
REACH = SEARCH + 5
"""Pixels on each side of the box's middle that are looked at: a search from anywhere in the box."""

Floats: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Indices: TypeAlias = NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True)
class BallError:
    """What became of the ball in some frames."""

    error: float
    """Mean squared error of the pixels of the ball's box and MARGIN around it."""
    found: float
    """Share of the frames that show a ball at most NEAR_ENOUGH from the true one, 0 to 1."""
    frames: int
    """Frames with a ball that can be seen; no other counts."""


class BallTally:
    """Adds up the ball's error over batches."""

    def __init__(self, background: Floats) -> None:
        """Begin with no frame.

        Args:
            background: What the game shows without anything that moves, `(H, W)`.
        """
        self._background = background
        self._sums = np.zeros(4)

    def add(self, target: Floats, drawn: Floats, boxes: Indices) -> None:
        """Add frames.

        Args:
            target: True frames, `(B, H, W)`.
            drawn: What was drawn of them, `(B, H, W)`.
            boxes: Around the ball in the true frames, rows and columns top, left, bottom, right,
                the last two not within, `(B, 4)`.
        """
        around = _Surroundings(boxes, self._background.shape)
        background = around.cut(np.broadcast_to(self._background, target.shape))
        true, seen = around.cut(target) - background, around.cut(drawn) - background
        ball = around.within(boxes)
        strongest = _strongest(np.abs(true) * ball)
        contrast = np.abs(_at(true, strongest))
        shown = contrast > FOREGROUND_CONTRAST
        sign = np.sign(_at(true, strongest))[:, None, None]  # darker than what it flies over?
        place, _ = around.blob(sign * true * ball, contrast)
        there = around.square(place, SEARCH) & ~_others(true, ball)
        drawn_place, is_drawn = around.blob(sign * seen * there, contrast)
        found = is_drawn & (np.linalg.norm(drawn_place - place, axis=1) <= NEAR_ENOUGH)
        measured = around.within(boxes, MARGIN) & shown[:, None, None]
        squared = np.square(seen - true)[measured].sum(dtype=np.float64)
        self._sums += [squared, measured.sum(), (found & shown).sum(), shown.sum()]

    def result(self) -> BallError | None:
        """Return what became of the ball; None where no frame shows one."""
        squared, pixels, found, frames = self._sums.tolist()
        return BallError(squared / pixels, found / frames, int(frames)) if frames else None


class _Surroundings:
    """The part of each frame around its ball, R × R pixels, with their places in the frame."""

    def __init__(self, boxes: Indices, frame_shape: Sequence[int]) -> None:
        reach = np.arange(-REACH, REACH + 1)
        middle = (boxes[:, :2] + boxes[:, 2:]) // 2
        self._rows = (middle[:, :1] + reach)[:, :, None]
        self._columns = (middle[:, 1:] + reach)[:, None, :]
        self._in_frame_rows = self._rows.clip(0, frame_shape[0] - 1)
        self._in_frame_columns = self._columns.clip(0, frame_shape[1] - 1)
        self._in_frame = (self._rows == self._in_frame_rows) & (
            self._columns == self._in_frame_columns
        )

    def cut(self, frames: Floats) -> Floats:
        """Return the parts of frames `(B, H, W)`, 0 beyond their edges, `(B, R, R)`."""
        numbers = np.arange(len(frames))[:, None, None]
        parts = frames[numbers, self._in_frame_rows, self._in_frame_columns]
        return np.where(self._in_frame, parts, np.float32(0))

    def within(self, boxes: Indices, margin: int = 0) -> Mask:
        """Tell which pixels lie in a box or that near to it, `(B, R, R)`."""
        top, left, bottom, right = boxes.T[:, :, None, None]
        rows = (self._rows >= top - margin) & (self._rows < bottom + margin)
        columns = (self._columns >= left - margin) & (self._columns < right + margin)
        return rows & columns & self._in_frame

    def square(self, places: NDArray[np.float64], reach: int) -> Mask:
        """Tell which pixels lie around a place, `(B, R, R)`."""
        row, column = places.T[:, :, None, None]
        return (np.abs(self._rows - row) <= reach) & (np.abs(self._columns - column) <= reach)

    def blob(self, strength: Floats, contrast: Floats) -> tuple[NDArray[np.float64], Mask]:
        """Return the centre of the strongest blob, `(B, 2)`, and whether it is a ball, `(B,)`.

        It is if it stands out at least half as far as it should.

        Args:
            strength: How far each pixel stands out as a ball does, `(B, R, R)`.
            contrast: How far the true ball stands out, `(B,)`.
        """
        strongest = _strongest(strength)
        places = [np.broadcast_to(p, strength.shape) for p in (self._rows, self._columns)]
        peak = np.stack([_at(place, strongest) for place in places], 1).astype(np.float64)
        due = contrast[:, None, None] / 2
        weight = strength * (strength >= due) * self.square(peak, BLOB)
        total = np.maximum(weight.sum((1, 2)), 1e-9)
        centre = [(weight * place).sum((1, 2)) / total for place in places]
        return np.stack(centre, 1), _at(strength, strongest) >= contrast / 2


def _others(difference: Floats, ball: Mask) -> Mask:
    """Tell where something else moves, or right beside it; never within the ball's box."""
    moving = (np.abs(difference) > FOREGROUND_CONTRAST) & ~ball
    padded = np.pad(moving, ((0, 0), (1, 1), (1, 1)))
    _, height, width = moving.shape
    beside = [
        padded[:, row : row + height, column : column + width]
        for row, column in product(range(3), repeat=2)
    ]
    return np.logical_or.reduce(beside) & ~ball


def _strongest(parts: Floats) -> Indices:
    """Return the flat number of each part's largest value, `(B,)`."""
    return parts.reshape(len(parts), -1).argmax(1)


def _at(parts: NDArray[Number], pixels: Indices) -> NDArray[Number]:
    """Return one pixel of each part by its flat number, `(B,)`."""
    return parts.reshape(len(parts), -1)[np.arange(len(parts)), pixels]
