"""Random changes of frames while an embedder learns.

Shapes: B batch, S frames in a row, H height, W width.
"""

import torch
from torch import Tensor


def randomly_shifted(frames: Tensor, pixels: int) -> Tensor:
    """Shift each sequence by its own random whole number of pixels, all its frames alike.

    What moves in from outside repeats the edge.
    Source: Yarats et al. (2021), DrQ, section 3.1: pad by the edge's pixels, then crop at random.

    Args:
        frames: `(B, S, H, W)`.
        pixels: How far at most, in each direction.
    """
    height, width = frames.shape[2:]
    rows = _shifted_places(len(frames), height, pixels, frames.device)
    columns = _shifted_places(len(frames), width, pixels, frames.device)
    chosen = frames.gather(2, rows[:, None, :, None].expand(frames.shape))
    return chosen.gather(3, columns[:, None, None, :].expand(frames.shape))


def _shifted_places(count: int, size: int, pixels: int, device: torch.device) -> Tensor:
    """Return for each place, `(count, size)`, which one comes there."""
    shift = torch.randint(-pixels, pixels + 1, (count, 1), device=device)
    return (torch.arange(size, device=device) + shift).clamp(0, size - 1)


def with_noise(values: Tensor, deviation: float) -> Tensor:
    """Add normal noise of that standard deviation."""
    return values + deviation * torch.randn_like(values) if deviation else values
