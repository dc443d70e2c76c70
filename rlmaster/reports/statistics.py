"""The mean of a few seeds and how well it is known: Student's t, without a library.

Source: Abramowitz and Stegun (1964), 26.7.3 and 26.7.4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
HALVINGS = 60
"""Of an angle, after which no bit of a float is left to be found."""


@dataclass(frozen=True)
class Mean:
    """The mean of independent values, each as good as another."""

    count: int
    mean: float
    low: float | None
    """Where its interval of 95 % confidence begins; None for a single value, which has none,
    and where its width is beyond all numbers."""
    high: float | None
    """Where that interval ends."""


def mean_of(values: Sequence[float]) -> Mean | None:
    """Return the mean of finite values with its interval; None where there is no value."""
    count = len(values)
    if count == 0:
        return None
    mean = math.fsum(value / count for value in values)  # whose sum may be beyond all numbers
    if count == 1:
        return Mean(1, mean, None, None)
    deviation = math.hypot(*(value - mean for value in values)) / math.sqrt(count - 1)
    half = student_quantile(count - 1) * deviation / math.sqrt(count)
    if not math.isfinite(abs(mean) + half):
        return Mean(count, mean, None, None)
    return Mean(count, mean, mean - half, mean + half)


def student_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """Return t such that a Student variable lies within (-t, t) with this probability.

    Args:
        degrees: Degrees of freedom, at least 1.
        confidence: The probability, between 0 and 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _share_within(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.tan(high) * math.sqrt(degrees)


def _share_within(angle: float, degrees: int) -> float:
    """Return the probability of (-t, t), where t is tan(angle) times the root of the degrees."""
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = degrees % 2
    term = cosine if is_odd else 1.0
    total = term if degrees > 1 else 0.0
    for power in range(2 + is_odd, degrees - 1, 2):
        term *= cosine**2 * (power - 1) / power
        total += term
    return 2 / math.pi * (angle + sine * total) if is_odd else sine * total
