"""Where the ball is in a frame, by what the console's memory says: Pong and Breakout.

The numbers were measured on the consoles' own screens; `tests/atari/test_ball.py` measures again.
A frame is the brighter of a step's last two screens, and the memory is of the last, so the ball may
be seen twice: the box holds both (but for one in 10,000 frames of Breakout, in which the ball
jumps aside at the paddle's edge), and the centre is the last one's. The last frame of an episode
shows the step before (see `Emulator.act`), so what is said of it is not right.

Shapes: B frames.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.ram import ram_variables
from rlmaster.errors import UsageError

SCREEN = (210, 160)
"""Height and width of the console's screen, in its pixels."""
FRAME_PIXELS = 84
"""Height and width of a frame."""
BALL = (4, 2)
"""Height and width of the ball, in the screen's pixels."""


@dataclass(frozen=True)
class _Field:
    """Where the ball flies, in the screen's pixels; pairs are of rows and columns."""

    offset: tuple[int, int]
    """From what the memory says to the ball's top left corner."""
    first: tuple[int, int]
    """First row and column in which a ball is drawn."""
    stop: tuple[int, int]
    """One past the last ones."""
    step: tuple[int, int]
    """How far the ball gets, at most, from one screen to the next."""


_FIELDS: Mapping[str, _Field] = {
    "breakout": _Field(offset=(9, -49), first=(32, 8), stop=(196, 152), step=(4, 3)),
    "pong": _Field(offset=(-14, -49), first=(34, 0), stop=(194, 160), step=(3, 4)),
}


class BallBoxes(NamedTuple):
    """Where the ball is in B frames of 84×84 pixels."""

    visible: NDArray[np.bool_]
    """Whether there is a ball to be seen, `(B,)`; what else is said is without meaning if not."""
    centre: NDArray[np.float64]
    """Row and column of its middle, `(B, 2)`; a pixel's own middle has its whole numbers."""
    box: NDArray[np.int64]
    """First row, first column, stop row and stop column of pixels that hold it, `(B, 4)`."""

    def at(self, frames: slice | NDArray[np.int64]) -> "BallBoxes":
        """Return where the ball is in some of the frames."""
        return BallBoxes(self.visible[frames], self.centre[frames], self.box[frames])


class Ball:
    """Reads from the memory of one game where its ball is."""

    def __init__(self, game: str) -> None:
        """Look up how the game is drawn.

        Args:
            game: Name as ale-py spells it.

        Raises:
            UsageError: If it is not known where the game's ball is.
        """
        if game not in _FIELDS:
            raise UsageError(
                f"it is not known where {game} shows a ball; choose one of the games for which it "
                f"is: {', '.join(games_with_ball())}"
            )
        self._field = _FIELDS[game]
        variables = ram_variables(game)
        self._bytes = [variables["ball_y"], variables["ball_x"]]

    def boxes(self, ram: NDArray[np.uint8]) -> BallBoxes:
        """Return where the ball is.

        Args:
            ram: Memory of the consoles as the frames were shown, `(B, 128)`.
        """
        field, said = self._field, ram[:, self._bytes].astype(np.int64)
        corner = said + field.offset
        drawn = _clipped(np.concatenate([corner, corner + BALL], axis=1), field)
        extent = drawn[:, 2:] - drawn[:, :2]
        # Of a ball with a single row in the field, the console mostly draws nothing.
        visible = (said[:, 0] != 0) & (extent >= (2, 1)).all(axis=1)
        scale = FRAME_PIXELS / np.array(SCREEN)
        around = np.concatenate([corner - field.step, corner + BALL + np.array(field.step)], axis=1)
        reached = _clipped(around, field) * np.tile(scale, 2)
        box = np.concatenate([np.floor(reached[:, :2]), np.ceil(reached[:, 2:])], axis=1)
        centre = (drawn[:, :2] + drawn[:, 2:]) / 2 * scale - 0.5
        return BallBoxes(visible, centre, box.astype(np.int64))


def _clipped(boxes: NDArray[np.int64], field: _Field) -> NDArray[np.int64]:
    return boxes.clip([*field.first, *field.first], [*field.stop, *field.stop])


def games_with_ball() -> tuple[str, ...]:
    """Return the games for which it is known where the ball is."""
    return tuple(_FIELDS)
