"""What changes in a game's frames: pixels that differ from its background or the frame before.

Shapes: B batch, D frames in a row, H height, W width.
"""

from torch import Tensor

from rlmaster.embedders.base import unit_interval

FOREGROUND_CONTRAST = 10 / 255
"""How far a pixel must be from the background, or from itself before, to count."""


def median_background(frames: Tensor) -> Tensor:
    """Return the median `(1, 1, H, W)` in [0, 1] of stored frames `(B, 1, H, W)`, uint8."""
    return unit_interval(frames).median(dim=0, keepdim=True).values


def foreground(frames: Tensor, background: Tensor) -> Tensor:
    """Tell for each pixel whether frames `(B, D, H, W)` in [0, 1] differ from the background."""
    return (frames - background).abs() > FOREGROUND_CONTRAST


def motion(before: Tensor, frames: Tensor, was_played: Tensor) -> Tensor:
    """Tell for each pixel whether frames `(B, D, H, W)` in [0, 1] differ from those before them.

    Args:
        before: `(B, D, H, W)` in [0, 1].
        frames: `(B, D, H, W)` in [0, 1].
        was_played: Whether there is a frame before, `(B, D)` bool; where not, nothing has moved.
    """
    changed = (frames - before).abs() > FOREGROUND_CONTRAST
    return changed & was_played[:, :, None, None]
