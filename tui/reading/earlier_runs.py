"""What the index knows of earlier runs of an experiment; to be read in a thread."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

from rlmaster.errors import RlmasterError
from rlmaster.run_index import RunIndex
from rlmaster.run_index.query import RunQuery
from rlmaster.run_index.row import RunRow
from tui.words.plain_text import printable

MOST_RATIONALES = 20
UNREADABLE = (RlmasterError, OSError, ValueError, sqlite3.Error)
"""What reading the index may raise; then nothing is known."""


class _NobodyWaitsError(Exception):
    """Who asked has gone."""


def read_last_settings(runs: Path, experiment: str, cancelled: threading.Event) -> dict[str, Any]:
    """Return the settings of an experiment's newest run, by dotted names; empty without one."""
    try:
        found = [row.config for row in _rows(runs, experiment, 1, cancelled)]
    except ValueError:
        return {}
    return found[0] if found else {}


def read_rationales(runs: Path, experiment: str, cancelled: threading.Event) -> list[str]:
    """Return why earlier runs of an experiment were made, newest first, each reason once."""
    rows = _rows(runs, experiment, 5 * MOST_RATIONALES, cancelled)
    texts = (printable(row.rationale).strip() for row in rows)
    return list(dict.fromkeys(filter(None, texts)))[:MOST_RATIONALES]


def _rows(runs: Path, experiment: str, limit: int, cancelled: threading.Event) -> list[RunRow]:
    def end_if_unwanted(*_: object) -> None:
        if cancelled.is_set():
            raise _NobodyWaitsError

    try:
        with RunIndex(runs) as index:
            index.sync(end_if_unwanted)
            return index.rows(RunQuery("name = ?", (experiment,)), limit)
    except (_NobodyWaitsError, *UNREADABLE):
        return []
