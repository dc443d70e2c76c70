"""What changes in a game's frames: the pixels that differ from its background.

Shapes: B batch, H height, W width.
"""

from torch import Tensor

from rlmaster.embedders.base import unit_interval

FOREGROUND_CONTRAST = 10 / 255
"""How far a pixel must be from the background to count as foreground."""


def median_background(frames: Tensor) -> Tensor:
    """Return the median `(1, 1, H, W)` in [0, 1] of stored frames `(B, 1, H, W)`, uint8."""
    return unit_interval(frames).median(dim=0, keepdim=True).values


def foreground(frames: Tensor, background: Tensor) -> Tensor:
    """Tell for each pixel whether frames `(B, 1, H, W)` in [0, 1] differ from the background."""
    return (frames - background).abs() > FOREGROUND_CONTRAST
