"""The index of runs as commands use it: brought up to date, and never silent for long."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rlmaster.cli.terminal import say

if TYPE_CHECKING:
    from rlmaster.run_index import RunIndex

QUIET_S = 1.0
"""Nobody is told of work that takes less."""


@contextmanager
def synced_index(runs: Path) -> "Generator[RunIndex]":
    """Give the index of runs once it knows what is there; to be left before anything slow."""
    from rlmaster.run_index import RunIndex

    with RunIndex(runs) as index:
        shown = _Reading()
        try:
            index.sync(shown)
        finally:
            shown.clear()
        if index.note:
            say(index.note)
        yield index


class _Reading:
    """Says how many runs are read, once that takes long, in a line that counts on a terminal."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._is_shown = False

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._begun < QUIET_S or done == total:
            return
        if sys.stderr.isatty():
            sys.stderr.write(f"\rreading runs: {done:,} of {total:,}")
            sys.stderr.flush()
        elif not self._is_shown:
            say(f"reading {total:,} runs into the index; the next command will not have to")
        self._is_shown = True

    def clear(self) -> None:
        """Leave the line of the terminal as it was."""
        if self._is_shown and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
