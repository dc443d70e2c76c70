"""The index of runs: what lists, filters and standing need of each, without opening its folder.

It is a cache in `runs/.index.sqlite`, made of the run folders and of nothing else, so it may be
deleted at any time. `sync` reads what is new without looking at every run: an experiment's folder
changes when a run appears in it or goes, and so only changed ones are listed; a run that has ended
changes no more, unless somebody changes it, who then calls `refresh`.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from rlmaster.errors import ProjectError
from rlmaster.run_folder import RunFolder
from rlmaster.run_index.file import RunIndexFile
from rlmaster.run_index.order import NEWEST_FIRST, RunOrder
from rlmaster.run_index.query import ALL_RUNS, RunQuery
from rlmaster.run_index.reading import SCHEMA, OnProgress, RunReader
from rlmaster.run_index.row import JSON_FIELDS, RunRow, as_text
from rlmaster.run_status import State, Status

FILE_NAME = ".index.sqlite"
COLUMNS = ", ".join(RunRow._fields)
# Few of many runs are found by an index of theirs where they are asked for apart from the order.
HAS_NOT_ENDED = "path IN (SELECT path FROM runs WHERE is_final = 0)"
HAS_PARENT = """path IN (
    SELECT path FROM runs WHERE parents != '[]'
    AND EXISTS (SELECT 1 FROM json_each(parents) WHERE json_each.value = ?)
)"""
LONGEST_NAME = 64
"""Characters of an experiment's name."""
NAMED_RUNS = 5
Suits = Callable[[RunFolder], bool]
"""Tells whether a run is what somebody looks for."""
"""How many runs a sentence names that fit where one was meant."""

T = TypeVar("T")


class RunIndex:
    """The runs of a project; a context manager, to be left before anything slow is done."""

    def __init__(self, runs: Path) -> None:
        """Name the folder of all runs; nothing is opened yet."""
        self.runs = runs
        self._file = RunIndexFile(runs / FILE_NAME, SCHEMA)
        self._reader = RunReader(self._file, runs)
        self._on_progress: OnProgress = _unheard
        self._has_synced = False
        self._is_behind = False

    def __enter__(self) -> Self:
        self._file.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def note(self) -> str:
        """Why the index could not be used as it should, for a person; mostly empty."""
        return self._file.note

    # ------------------------------------------------------------------------------ keeping up

    def sync(self, on_progress: OnProgress | None = None) -> None:
        """Read the runs that are new or not yet at their end, and forget those that are gone.

        Args:
            on_progress: Told now and then how many of how many runs are read.
        """
        self._on_progress = on_progress or _unheard
        self._has_synced = True
        self._attempt(self._catch_up)

    def refresh(self, run: RunFolder, status: Status | None = None) -> None:
        """Read one run again, for whoever has just changed, made, moved or deleted it.

        Args:
            run: The run.
            status: How it stands, for a caller who knows better than a file that cannot be written.
        """
        self._attempt(lambda: self._reader.read_announced(_key(run.path), status))
        if self._file.in_memory:
            self._file.discard()  # it does not know what has just changed

    def forget(self, path: Path) -> None:
        """Drop a run that is no longer there."""
        self.refresh(RunFolder(path))

    # --------------------------------------------------------------------------------- questions

    def rows(
        self,
        query: RunQuery = ALL_RUNS,
        limit: int | None = None,
        offset: int = 0,
        order: RunOrder = RunOrder.NEWEST,
    ) -> list[RunRow]:
        """Return the runs that fit, newest first unless another order is given."""
        # Sorted without the long columns, which would be carried along.
        chosen = f"SELECT rowid FROM runs WHERE {query.sql} ORDER BY {order.sql} LIMIT ? OFFSET ?"
        sql = f"SELECT {COLUMNS} FROM runs WHERE rowid IN ({chosen}) ORDER BY {order.sql}"
        limit = -1 if limit is None else limit
        return self._select_rows(sql, (*query.parameters, limit, offset))

    def position(
        self, run: RunFolder, query: RunQuery = ALL_RUNS, order: RunOrder = RunOrder.NEWEST
    ) -> int | None:
        """Return how many of the runs that fit come before a run; None where it is not of them."""
        numbered = f"SELECT path, row_number() OVER (ORDER BY {order.sql}) AS number FROM runs"
        sql = f"SELECT number - 1 FROM ({numbered} WHERE {query.sql}) WHERE path = ?"
        found = self._select(sql, (*query.parameters, _key(run.path)))
        return found[0][0] if found else None

    def paths(self, query: RunQuery = ALL_RUNS, limit: int = -1) -> list[str]:
        """Return where the runs that fit lie in the folder of all runs, newest first."""
        sql = f"SELECT path FROM runs WHERE {query.sql} ORDER BY {NEWEST_FIRST} LIMIT ?"
        return [os.fsdecode(path) for (path,) in self._select(sql, (*query.parameters, limit))]

    def count(self, query: RunQuery = ALL_RUNS) -> int:
        """Return how many runs fit."""
        sql = f"SELECT count(*) FROM runs WHERE {query.sql}"
        return self._select(sql, query.parameters)[0][0]

    def row(self, run: RunFolder) -> RunRow | None:
        """Return what is known of a run."""
        sql = f"SELECT {COLUMNS} FROM runs WHERE path = ?"
        return next(iter(self._select_rows(sql, (_key(run.path),))), None)

    def active(self) -> list[RunFolder]:
        """Return the runs that have not ended, newest first."""
        return self._folders(RunQuery(HAS_NOT_ENDED))

    def named(self, ids: Sequence[str]) -> list[RunRow]:
        """Return the runs of these ids, newest first."""
        marks = ", ".join("?" for _ in ids)
        sql = f"path IN (SELECT path FROM runs WHERE id IN ({marks}))"
        return self.rows(RunQuery(sql, tuple(ids)))

    def children(self, run_id: str) -> list[RunRow]:
        """Return the runs that build on a run, newest first."""
        return self.rows(RunQuery(HAS_PARENT, (run_id,)))

    def comparable_values(self, row: RunRow) -> list[float]:
        """Return the results of completed runs of the same yardstick that ended earlier.

        Those that repeat the row's experiment with its seed are left out: they can only say again
        what it says.
        """
        sql = (
            "SELECT value FROM runs WHERE yardstick = ? AND state = ? AND since < ? "
            "AND value IS NOT NULL AND path != ? "
            "AND NOT (digest != '' AND digest = ? "
            "AND json_extract(config_json, '$.seed') IS json_extract(?, '$.seed'))"
        )
        yardstick = (row.yardstick, State.COMPLETED, row.since, os.fsencode(row.path))
        return [value for (value,) in self._select(sql, (*yardstick, row.digest, row.config_json))]

    def config_fields(self) -> list[str]:
        """Return the fields that experiments have or had, by their dotted names."""
        return [name for (name,) in self._select("SELECT name FROM fields ORDER BY name")]

    def find(self, text: str, suits: Suits | None = None) -> RunFolder:
        """Find a run by `last`, its six characters, a path, or a part that only it has.

        Args:
            text: What it is called.
            suits: Chooses among several that are called so, where only one suits.

        Raises:
            ProjectError: If no run fits, or several do.
        """
        if direct := run_at(text):
            return direct
        newest = self._folders(ALL_RUNS, 1)
        if not newest:
            way = self._way_to_make(text) or "`rlmaster launch` makes one"
            raise ProjectError(f"there is no run in {self.runs} yet; {way}")
        if text == "last":
            return newest[0]
        six_characters = RunQuery("short_id = ?", (text,))
        for query in (six_characters, RunQuery("instr(path, ?)", (os.fsencode(text),))):
            found = self._folders(query)
            if suits is not None and len(found) > 1:
                found = list(filter(suits, found)) or found
            if len(found) > 1:
                fits = f"{text!r} fits {len(found)} runs"
                raise ProjectError(f"{fits}; name one of them: {_named(found)}")
            if found:
                return found[0]
        raise ProjectError(
            f"no run is called {text!r}; "
            + (self._way_to_make(text) or f"the newest is {newest[0].short_id}")
        )

    def _way_to_make(self, name: str) -> str:
        """Return how a run of an experiment that has a script is made; nothing where none has."""
        script = name.replace("-", "_")
        is_name = script.isidentifier() and len(script) <= LONGEST_NAME
        is_there = is_name and (self.runs.parent / "experiments" / f"{script}.py").exists()
        return f"`rlmaster launch {script}` makes one" if is_there else ""

    def _folders(self, query: RunQuery, limit: int = -1) -> list[RunFolder]:
        return [RunFolder(self.runs / path) for path in self.paths(query, limit)]

    def _select_rows(self, sql: str, parameters: Sequence[Any]) -> list[RunRow]:
        return self._attempt(lambda: [_row(row) for row in self._execute(sql, parameters)])

    def _select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._attempt(lambda: self._execute(sql, parameters).fetchall())

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        storable = [as_text(one) if isinstance(one, str) else one for one in parameters]
        return self._file.connection.execute(sql, storable)

    def _attempt(self, action: Callable[[], T]) -> T:
        """Do something with the file; where that turns out to be damaged, with what replaces it."""
        while True:
            try:
                if self._is_behind:
                    self._catch_up()
                return action()
            except sqlite3.DatabaseError as error:
                self._file.recover(error)  # raises it, where it comes from memory
                self._is_behind = self._has_synced

    def _catch_up(self) -> None:
        self._is_behind = False  # before, since whoever is told of the progress may ask questions
        self._reader.read_what_changed(self._on_progress)


def find_run(text: str, runs: Path, suits: Suits | None = None) -> RunFolder:
    """Find a run by `last`, its six characters, a path, or a part of name and id that only it has.

    Args:
        text: What it is called.
        runs: Where the project keeps its runs.
        suits: Chooses among several that are called so, where only one suits.

    Raises:
        ProjectError: If no run fits, or several do.
    """
    if direct := run_at(text):
        return direct
    with RunIndex(runs) as index:
        index.sync()
        return index.find(text, suits)


def run_at(text: str) -> RunFolder | None:
    """Return the run that a path leads to, or None where it leads to none."""
    try:
        folder = RunFolder(Path(text).expanduser().resolve())
        return folder if folder.exists() else None
    except (OSError, RuntimeError, ValueError):  # `~nobody`, or a name too long for a path
        return None


def _unheard(done: int, total: int) -> None:
    """Nobody listens to the progress."""


def _key(path: Path) -> bytes:
    return os.fsencode(f"{path.parent.name}/{path.name}")


def _row(values: Sequence[Any]) -> RunRow:
    """Make a row of its columns.

    Raises:
        sqlite3.DatabaseError: If they are not what was written.
    """
    try:
        stored = RunRow._make(values)
        return stored._replace(
            path=os.fsdecode(stored.path),
            state=State(stored.state),
            higher_is_better=bool(stored.higher_is_better),
            **{name: tuple(json.loads(getattr(stored, name))) for name in JSON_FIELDS},
        )
    except (TypeError, ValueError) as error:
        raise sqlite3.DatabaseError(f"a row of the index is damaged: {error}") from error


def _named(runs: Sequence[RunFolder]) -> str:
    """Name a few of several runs, so that each name stands for one of them."""
    few = runs[:NAMED_RUNS]
    names = [run.short_id for run in few]
    if len(set(names)) < len(names):  # copies
        names = [f"{run.name}/{run.id}" for run in few]
    return ", ".join(names) + (", ..." if len(runs) > len(few) else "")
