"""Screens shrunk to frames, bit for bit as ale-py's vector environment does it, without OpenCV.

Shapes: N screens, H and W pixels of the console's screen, h and w pixels of what it is shrunk to.
"""

from functools import cache
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SLIVER = 1e-3
"""Part of a pixel below which OpenCV counts it as outside."""


class _Weights(NamedTuple):
    """Which old pixels make each new one: the k-th of them and its share, `(K, size)` each."""

    pixels: NDArray[np.intp]
    shares: NDArray[np.float32]


def shrink(grey: NDArray[np.uint8], height: int = 84, width: int = 84) -> NDArray[np.uint8]:
    """Average areas, as OpenCV's `resize` with INTER_AREA does.

    The sums are taken in float32, columns first and from the left, because only that order rounds
    as OpenCV rounds (`ResizeArea_Invoker` in its resize.cpp): no pixel of any game differs from the
    vector environment's.

    Args:
        grey: Grey levels, `(..., H, W)`, in both directions at least as large as the result.
        height: Pixels of the result, h.
        width: Pixels of the result, w.

    Returns:
        Grey levels, `(..., h, w)`.
    """
    columns, rows = _weights(grey.shape[-1], width), _weights(grey.shape[-2], height)
    narrow = _weighted_sum(grey, columns.pixels, columns.shares)
    small = _weighted_sum(narrow.swapaxes(-1, -2), rows.pixels, rows.shares)
    return np.rint(small.swapaxes(-1, -2)).astype(np.uint8)


def _weighted_sum(
    grey: NDArray[np.uint8] | NDArray[np.float32],
    pixels: NDArray[np.intp],
    shares: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Add up what makes each new pixel of the last axis, from the left."""
    total = grey[..., pixels[0]] * shares[0]
    for pixel, share in zip(pixels[1:], shares[1:], strict=True):
        total += grey[..., pixel] * share
    return total


@cache
def _weights(length: int, size: int) -> _Weights:
    parts = [_parts(number, length, size) for number in range(size)]
    most = max(len(part) for part in parts)
    pixels, shares = np.zeros((most, size), np.intp), np.zeros((most, size), np.float32)
    for number, part in enumerate(parts):
        for place, (pixel, share) in enumerate(part):
            pixels[place, number], shares[place, number] = pixel, share
    return _Weights(pixels, shares)


def _parts(number: int, length: int, size: int) -> list[tuple[int, float]]:
    """Return the old pixels that lie in a new one, from the left, and their shares of it."""
    scale = length / size
    left, right = number * scale, number * scale + scale
    last = min(floor(right), length - 1)
    first = min(ceil(left), last)
    area = min(scale, length - left)
    parts = [(pixel, 1 / area) for pixel in range(first, last)]
    if first - left > _SLIVER:
        parts.insert(0, (first - 1, (first - left) / area))
    if right - last > _SLIVER:
        parts.append((last, min(right - last, 1.0, area) / area))
    return parts
