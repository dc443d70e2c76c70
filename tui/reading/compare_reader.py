"""Several runs, read again and again: each look returns what has changed since the last."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from rlmaster.reports.comparison import Comparison, compare
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_index.row import DAMAGE, RunRow
from tui.reading.curve_reader import CurveReader
from tui.reading.curves import Curve, thinned

KEPT_BINS = 1000
"""Of each curve: many lie over one another, and all are smoothed anew with each key."""


@dataclass
class ComparisonRead(Message):
    """What several runs are and came to has been looked at."""

    comparison: Comparison
    gone: int
    """How many of them are no longer there."""


@dataclass
class CurvesRead(Message):
    """Scalars of several runs have been read."""

    curves: Mapping[Path, Mapping[str, Curve]]
    """Those of runs that have changed, by their folders."""


class CompareReader:
    """Looks at the same runs, in a thread."""

    def __init__(self, runs: Path, folders: Sequence[RunFolder]) -> None:
        """Say where the project keeps its runs, and which are compared."""
        self._runs = runs
        self._folders = folders
        self._readers = {folder.path: CurveReader(folder) for folder in folders}
        self._told: tuple[Comparison, int] | None = None

    def look(self, tell: Callable[[Message], object]) -> None:
        """Tell what has changed: how the runs stand, then their scalars, which take longer."""
        with suppress(OSError, sqlite3.Error):
            rows = self._rows()
            found = compare(rows), len(self._folders) - len(rows)
            if found != self._told:
                self._told = found
                tell(ComparisonRead(*found))
        changed: dict[Path, Mapping[str, Curve]] = {}
        for path, reader in self._readers.items():
            with suppress(*DAMAGE, KeyError):
                curves = reader.read()
                if curves is not None:
                    changed[path] = {tag: _kept(curve) for tag, curve in curves.items()}
        if changed:
            tell(CurvesRead(changed))

    def _rows(self) -> list[RunRow]:
        with RunIndex(self._runs) as index:
            index.sync()
            found = [index.row(folder) for folder in self._folders]
        return [row for row in found if row is not None]


def _kept(curve: Curve) -> Curve:
    return thinned(curve.steps, curve.values, KEPT_BINS)
