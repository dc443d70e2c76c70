"""How far drawn frames are from those that they should be.

Shapes: B batch, D drawn frames, H height, W width; grey levels are in [0, 1].
"""

from torch import Tensor

from rlmaster.embedder_choices import DrawingEmbedder

HINGE = 10 / 255**2
"""Squared error that is good enough: Kaiser et al. (2020) clip at 10 for grey levels up to 255."""


def reconstruction_loss(
    frames: Tensor, target: Tensor, weight: Tensor, specification: DrawingEmbedder
) -> Tensor:
    """Return the weighted mean of the pixels' errors, and what the worst pixels add, a scalar.

    Source of the worst pixel: Micheli et al. (2024), the tokenizer's loss, with a weight of 0.01.

    Args:
        frames: What was drawn, `(B, D, H, W)`, float32.
        target: What they should be, `(B, D, H, W)`.
        weight: How much each pixel counts, `(B, D, H, W)`; where 0 it cannot be the worst either.
        specification: Which error it is, and what the worst pixel counts.
    """
    loss = (weight * pixel_error(frames, target, specification.loss)).mean()
    if specification.worst_pixel_weight:
        counted = (frames - target).square() * (weight > 0)
        worst = counted.flatten(1).amax(1)
        loss = loss + specification.worst_pixel_weight * worst.mean()
    return loss


def pixel_error(frames: Tensor, target: Tensor, kind: str) -> Tensor:
    """Return the error of each pixel, `(B, D, H, W)`.

    Source of the hinge: Kaiser et al. (2020), SimPLe, the clipped loss.

    Args:
        frames: What was drawn, `(B, D, H, W)`, float32.
        target: What they should be, `(B, D, H, W)`.
        kind: `squared_error`, `absolute_error`, or `hinged`: squared, and no better than small.
    """
    difference = frames - target
    if kind == "absolute_error":
        return difference.abs()
    squared = difference.square()
    return squared.clamp(min=HINGE) if kind == "hinged" else squared
