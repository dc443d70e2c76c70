"""Cells: frames so coarse that states of the game that look alike share one.

Shapes: B frames, H and W pixels of a frame.
Source: Ecoffet et al. (2021), First return, then explore: cells without domain knowledge.
"""

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.screen import shrink

Cell = bytes
"""A coarse frame's grey levels."""


def cells_of(
    frames: NDArray[np.uint8], rows: int = 8, columns: int = 11, levels: int = 8
) -> list[Cell]:
    """Return the cell of each frame.

    Args:
        frames: Grey levels, `(B, H, W)`.
        rows: Height of the coarse frame, 1 to H.
        columns: Width of the coarse frame, 1 to W.
        levels: Grey levels of the coarse frame, 2 to 256.
    """
    coarse = shrink(frames, rows, columns).astype(np.uint16) * levels // 256
    return [cell.tobytes() for cell in coarse.astype(np.uint8)]
