"""How far a drawn frame is from the one that it should be.

Shapes: B batch, H height, W width; grey levels are in [0, 1].
"""

from torch import Tensor

from rlmaster.embedder_choices import DrawingEmbedder

HINGE = 10 / 255**2
"""Squared error that is good enough: Kaiser et al. (2020) clip at 10 for grey levels up to 255."""


def reconstruction_loss(
    frame: Tensor, target: Tensor, weight: Tensor, specification: DrawingEmbedder
) -> Tensor:
    """Return the weighted mean of the pixels' errors, and what the worst pixel adds, a scalar.

    Source of the worst pixel: Micheli et al. (2024), the tokenizer's loss, with a weight of 0.01.

    Args:
        frame: What was drawn, `(B, 1, H, W)`, float32.
        target: What it should be, `(B, 1, H, W)`.
        weight: How much each pixel counts, `(B, 1, H, W)`.
        specification: Which error it is, and what the worst pixel counts.
    """
    loss = (weight * pixel_error(frame, target, specification.loss)).mean()
    if specification.worst_pixel_weight:
        worst = (frame - target).square().flatten(1).amax(1)
        loss = loss + specification.worst_pixel_weight * worst.mean()
    return loss


def pixel_error(frame: Tensor, target: Tensor, kind: str) -> Tensor:
    """Return the error of each pixel, `(B, 1, H, W)`.

    Source of the hinge: Kaiser et al. (2020), SimPLe, the clipped loss.

    Args:
        frame: What was drawn, `(B, 1, H, W)`, float32.
        target: What it should be, `(B, 1, H, W)`.
        kind: `squared_error`, `absolute_error`, or `hinged`: squared, and no better than small.
    """
    difference = frame - target
    if kind == "absolute_error":
        return difference.abs()
    squared = difference.square()
    return squared.clamp(min=HINGE) if kind == "hinged" else squared
