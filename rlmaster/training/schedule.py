"""At which updates something is due: a set of steps, the same before and after a resume."""


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
