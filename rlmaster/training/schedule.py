"""At which steps something is due: the same ones before and after a resume."""

from bisect import bisect_right
from collections.abc import Collection


class Schedule:
    """Steps at which something is due, where several may be done at once."""

    def __init__(self, due: Collection[int], stride: int = 1) -> None:
        """Remember the steps.

        Args:
            due: When something is due.
            stride: Most steps that are done at once.
        """
        self._due = sorted(due)
        self._stride = stride

    def __contains__(self, step: object) -> bool:
        """Tell whether a step may be the first at or after one that is due."""
        return isinstance(step, int) and self.is_passed(step - self._stride, step)

    def is_passed(self, before: int, after: int) -> bool:
        """Tell whether something became due after one step and by another."""
        return bisect_right(self._due, before) < bisect_right(self._due, after)


def evenly_spaced(total: int, count: int) -> frozenset[int]:
    """Return `count` steps spread evenly over 1 to `total`, the last one always `total`.

    Fewer are returned where `total` is smaller than `count`.
    """
    return frozenset(max(1, round(total * k / count)) for k in range(1, count + 1))


def growing(total: int, count: int) -> frozenset[int]:
    """Return about `count` steps from 1 to `total` at geometrically growing intervals.

    Most changes early; a picture at every thousandth update would show little of it.
    """
    if count <= 1:
        return frozenset({total} if count else ())
    return frozenset(round(total ** (k / (count - 1))) for k in range(count))
