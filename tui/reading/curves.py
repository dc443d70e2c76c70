"""Curves with as many points as can be seen. Numpy is loaded by the first curve, not by the app."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]

CURVE_BINS = 300
"""Each is drawn with its least and its greatest value; a terminal shows no more."""
GREATEST = 1e300
"""Values beyond it are drawn there: the width of an axis must be a finite number."""
FIRST_SCALARS = (
    *("evaluation/return", "canonical/error", "held_out/error"),
    *("train/return", "train/loss"),
)
"""Of the scalars that a run has, the first of these is shown until a person chooses others."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def letter_of(number: int) -> str:
    """Return what one of several curves goes by, counted from 0; after the last the first again."""
    return LETTERS[number % len(LETTERS)]


@dataclass(frozen=True)
class Curve:
    """A scalar over steps."""

    steps: "Floats"
    """Ascending."""
    values: "Floats"


@dataclass(frozen=True)
class Line(Curve):
    """A curve beside others."""

    label: str = ""
    """What it shows, safe to show."""

    @classmethod
    def of(cls, label: str, curve: Curve) -> "Line":
        """Name a curve."""
        return cls(curve.steps, curve.values, label)


def thinned(steps: "Floats", values: "Floats", bins: int = CURVE_BINS) -> Curve:
    """Keep the finite points; of many, the ends, and least and greatest of each of `bins` parts."""
    import numpy

    finite = numpy.isfinite(values)
    if not finite.all():
        steps, values = steps[finite], values[finite]
    if len(values) > 2 * bins:
        size = -(-len(values) // bins)
        padding = -len(values) % size
        table = numpy.pad(values, (0, padding), mode="edge").reshape(-1, size)
        starts = numpy.arange(len(table)) * size
        extremes = (starts + table.argmin(axis=1), starts + table.argmax(axis=1))
        chosen = numpy.unique(numpy.concatenate([*extremes, [0, len(values) - 1]]))
        steps, values = steps[chosen], values[chosen]
    return Curve(steps.copy(), values.copy())


def within(curve: Curve, first: float, last: float) -> Curve:
    """Cut out a stretch of steps; where the curve crosses its borders, it ends at them."""
    import numpy

    steps, values = curve.steps, curve.values
    start, end = numpy.searchsorted(steps, first, "right"), numpy.searchsorted(steps, last, "left")
    before = [first] if len(steps) and steps[0] <= first <= steps[-1] else []
    after = [last] if len(steps) and steps[0] <= last <= steps[-1] else []
    cut = numpy.concatenate([before, steps[start:end], after])
    inside = [numpy.interp(border, steps, values) for border in (*before, *after)]
    return Curve(
        cut,
        numpy.concatenate([inside[: len(before)], values[start:end], inside[len(before) :]]),
    )


def bounded(curve: Curve) -> Curve:
    """Leave out what cannot be drawn, and draw what is beyond all measure at the edge."""
    import numpy

    finite = numpy.isfinite(curve.values) & numpy.isfinite(curve.steps)
    return Curve(curve.steps[finite], curve.values[finite].clip(-GREATEST, GREATEST))
