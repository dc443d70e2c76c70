"""The scalars of runs, read once for all who look at them, and then only what is new."""

import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rlmaster.run_folder import RunFolder
from tui.reading.curves import Curve
from tui.words.plain_text import one_line

if TYPE_CHECKING:
    from rlmaster.reports.scalars import ScalarReader

KEPT_RUNS = 6
"""A run that one comes back to opens at once; a million points take some 50 MB."""


class CurveReader:
    """Looks at a run's scalars as they grow."""

    def __init__(self, folder: RunFolder) -> None:
        """Begin with none."""
        self._folder = folder.tensorboard
        self._seen = 0

    def read(self) -> Mapping[str, Curve] | None:
        """Return every scalar with all its points, if any has changed since the last look."""
        version, curves = _scalars_of(self._folder).read()
        if version == self._seen:
            return None
        self._seen = version
        return curves


class _Scalars:
    """The scalars of one folder; whoever comes while another reads waits for what that reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._reader: ScalarReader | None = None
        self._version = 0
        self._curves: Mapping[str, Curve] = {}

    def read(self) -> tuple[int, Mapping[str, Curve]]:
        """Return the curves, and a number that grows whenever they change."""
        from rlmaster.reports.scalars import ScalarReader

        with self._lock:
            if self._reader is None:
                self._reader = ScalarReader(self._folder)
            if self._reader.update():
                series = sorted(self._reader.series.items())
                self._curves = {one_line(tag): Curve(s.steps, s.values) for tag, s in series}
                self._version += 1
            return self._version, self._curves


@lru_cache(maxsize=KEPT_RUNS)
def _scalars_of(folder: Path) -> _Scalars:
    return _Scalars(folder)
