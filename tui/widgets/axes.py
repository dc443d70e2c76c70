"""What the axes of curves say. Importing this module loads numpy, which takes a while."""

import math
from collections.abc import Sequence
from itertools import pairwise

from textual_plot import NumericAxisFormatter

FEW_POWERS = 3
"""Up to here the steps between powers of ten are marked as well."""
LONGEST_BESIDE, LONGEST_BELOW = 8, 9
"""Characters of a label beside and below the plot; what is longer the library cuts."""


class Plain(NumericAxisFormatter):
    """Labels as people write them: thousands kept whole, no more digits than tell ticks apart."""

    longest = LONGEST_BESIDE

    def __init__(self, room: int) -> None:
        """Say for how many labels there is room."""
        self._room = max(1, room)

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Return where the axis is marked."""
        ticks = super().get_ticks(min_, max_, max_ticks)
        return _spaced(ticks, (max_ - min_) / self._room)

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """Return a text for each tick."""
        whole = [f"{tick:,.0f}" for tick in ticks]
        fits = max(map(len, whole), default=0) <= self.longest
        if fits and all(float(tick).is_integer() for tick in ticks):
            return whole
        apart = min((b - a for a, b in pairwise(ticks)), default=1.0)
        largest = max(map(abs, ticks))
        digits = max(2, 1 + math.ceil(math.log10(largest / apart))) if largest else 2
        near_zero = apart / 1e6
        return [
            _short(0.0 if abs(tick) < near_zero else tick, digits, self.longest) for tick in ticks
        ]


class Steps(Plain):
    """The same below the plot, where a label stands on both sides of its tick."""

    longest = LONGEST_BELOW

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Return where the axis is marked: not so near its end that the label would be cut."""
        ticks = super().get_ticks(min_, max_, max_ticks)
        last = max_ - (max_ - min_) / self._room / 2
        return [tick for tick in ticks if tick <= last or tick == max_]


class PowersOfTen(NumericAxisFormatter):
    """Labels of an axis of logarithms: a tick at 10, 20, 50, 100, or at powers of ten alone."""

    def __init__(self, room: int) -> None:
        """Say for how many labels there is room."""
        self._room = max(1, room)

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Return the logarithms to be marked."""
        lowest, highest = math.floor(min_), math.ceil(max_)
        every = max(1, (highest - lowest) // max_ticks)
        parts = (1, 2, 5) if highest - lowest <= FEW_POWERS else (1,)
        powers = range(lowest, highest + 1, every)
        ticks = [power + math.log10(part) for power in powers for part in parts]
        inside = [tick for tick in ticks if min_ <= tick <= max_]
        return _spaced(inside, (max_ - min_) / self._room) if len(inside) > 1 else [min_, max_]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """Return the numbers whose logarithms the ticks are."""
        return [_short(10**tick, 3, LONGEST_BESIDE) for tick in ticks]


def _short(number: float, digits: int, longest: int) -> str:
    """Write a number with as many digits as there is room for: cut off, it would be another."""
    texts = [f"{number:.{count}g}" for count in range(digits, 0, -1)]
    return next((text for text in texts if len(text) <= longest), texts[-1])


def _spaced(ticks: Sequence[float], least: float) -> list[float]:
    """Leave out ticks that are nearer than `least` to the one before."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or tick - kept[-1] >= least:
            kept.append(tick)
    return kept
