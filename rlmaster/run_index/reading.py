"""Keeping the index up with the run folders, without looking at every run.

Whoever reads a run and then writes what it read may be late: somebody has changed the run since and
announced that. So announcements are counted, and what was read before the newest one is read again,
by then under SQLite's write lock, which the announcer takes too.
"""

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from rlmaster.run_folder import RunFolder
from rlmaster.run_index.file import RunIndexFile
from rlmaster.run_index.row import JSON_FIELDS, RunRow, read_row, readable_status
from rlmaster.run_status import Status

SCHEMA = f"""
CREATE TABLE runs (
    {", ".join(RunRow._fields)},
    folder,    -- of the experiment
    inode,     -- of the run's folder, as its listing said; NULL where it was not listed
    stamp,     -- of the run's folder when it was read; empty where it may change unnoticed
    is_final,
    words,     -- what is searched for a word, in lower case
    PRIMARY KEY (path)
);
CREATE INDEX newest ON runs (created, id, path);
CREATE INDEX by_id ON runs (id);
CREATE INDEX by_short_id ON runs (short_id);
CREATE INDEX by_folder ON runs (folder);
CREATE INDEX by_yardstick ON runs (yardstick);
CREATE INDEX with_parents ON runs (parents) WHERE parents != '[]';
CREATE INDEX unsettled ON runs (path) WHERE is_final = 0 OR stamp = '';
CREATE TABLE folders (name PRIMARY KEY, stamp);
CREATE TABLE fields (name PRIMARY KEY);
CREATE TABLE announcements (count);
INSERT INTO announcements VALUES (0);
"""
"""Paths are bytes, as the file system has them, and relative to the folder of all runs."""
SETTLED_S = 2.0
"""A folder's time is trusted once it is older: two changes may fall into one tick of the clock."""
RUNS_AT_ONCE = 200
"""Runs that are read before they are written, so that no writer waits for long."""

CONFIG = f"?{len(RunRow._fields)}"
MARKS = [f"?{number}" for number in range(1, len(RunRow._fields) + 6)]
INSERT = f"INSERT OR REPLACE INTO runs VALUES ({', '.join(MARKS)})".replace(
    f"{CONFIG}, ", f"CASE WHEN json_valid({CONFIG}) THEN {CONFIG} ELSE '{{}}' END, "
)
"""Writes a whole row; a configuration that is too deep for SQLite's JSON counts as damaged."""

OnProgress = Callable[[int, int], None]
"""Told how many runs are read, and how many there are to read."""
Inodes = Mapping[bytes, int | None]
"""Runs by their paths, each with what its listing said."""


class _Listing(NamedTuple):
    """What became of an experiment's folder since it was known."""

    new: dict[bytes, int | None]
    """Folders that were not there, or are others by now."""
    gone: list[bytes]
    is_read: bool
    """Whether it could be listed."""


class _Found(NamedTuple):
    """A run as it was read."""

    row: RunRow
    inode: int | None
    stamp: str


class RunReader:
    """Reads run folders into the index."""

    def __init__(self, file: RunIndexFile, runs: Path) -> None:
        """Name both; nothing is read yet."""
        self._file = file
        self._runs = runs

    def read_what_changed(self, on_progress: OnProgress) -> None:
        """Read the runs that are new or not yet at their end, and forget those that are gone."""
        stamps: dict[bytes, str] = dict(self._select("SELECT name, stamp FROM folders"))
        there = _experiment_folders(self._runs)
        changed = {name: f for name, f in there.items() if stamps.get(name) != _stamp(f)}
        listings = {name: self._list(name) for name in changed}
        unread, gone = self._unsettled()
        for name in stamps.keys() - there.keys():
            gone += self._known(name)
        for listing in listings.values():
            unread |= listing.new
            gone += listing.gone
        self._drop(gone, stamps.keys() - there.keys())
        unfinished = {path.rpartition(b"/")[0] for path in self._read(unread, on_progress)}
        trusted = {
            name: _settled_stamp(found) if listings[name].is_read and name not in unfinished else ""
            for name, found in changed.items()
        }
        if any(stamps.get(name) != stamp for name, stamp in trusted.items()):
            with self._file.transaction():
                self._trust(trusted)

    def read_announced(self, path: bytes, status: Status | None) -> None:
        """Read one run that somebody has changed; forget it where it is gone.

        Args:
            path: The run's path.
            status: How it stands, for a caller who knows better than its file.
        """
        with self._file.transaction():
            self._count_announcement()
            inodes = dict(self._select("SELECT path, inode FROM runs WHERE path = ?", (path,)))
            self._write(self._look_at({path: inodes.get(path)}, status))

    # ----------------------------------------------------------------------- what there is to read

    def _list(self, name: bytes) -> _Listing:
        known = self._known(name)  # before the listing: what appears in between is then not gone
        try:
            folder = self._runs / os.fsdecode(name)
            listed: dict[bytes, int | None] = {
                name + b"/" + run.name: run.inode() for run in _folders_in(folder)
            }
        except OSError:  # it may be readable again later
            return _Listing({}, [], is_read=False)
        new = {path: inode for path, inode in listed.items() if known.get(path, -1) != inode}
        return _Listing(new, list(known.keys() - listed.keys()), is_read=True)

    def _known(self, name: bytes) -> dict[bytes, int | None]:
        return dict(self._select("SELECT path, inode FROM runs WHERE folder = ?", (name,)))

    def _unsettled(self) -> tuple[dict[bytes, int | None], list[bytes]]:
        """Return the runs that may have changed since they were read, and those that are gone."""
        moved: dict[bytes, int | None] = {}
        gone: list[bytes] = []
        sql = "SELECT path, inode, stamp FROM runs WHERE is_final = 0 OR stamp = ''"
        for path, inode, stamp in self._select(sql):
            try:
                found = self._folder(path).path.stat()
            except OSError:
                gone.append(path)
                continue
            if stamp != _stamp(found):
                moved[path] = inode
        return moved, gone

    # ------------------------------------------------------------------------------------- writing

    def _read(self, unread: Inodes, on_progress: OnProgress) -> set[bytes]:
        """Read and write runs; return the folders that are none, as they are not yet whole."""
        left = iter(unread.items())
        no_runs: set[bytes] = set()
        done = 0
        while batch := dict(islice(left, RUNS_AT_ONCE)):
            announced = self._announcements()
            found = self._look_at(batch)
            with self._file.transaction():
                is_late = self._announcements() != announced
                found = self._look_at(batch) if is_late else found
                self._write(found)
            no_runs |= {path for path, there in found.items() if there is None}
            done += len(batch)
            on_progress(done, len(unread))
        return no_runs

    def _look_at(self, inodes: Inodes, status: Status | None = None) -> dict[bytes, _Found | None]:
        return {path: self._find(path, inode, status) for path, inode in inodes.items()}

    def _find(self, path: bytes, inode: int | None, status: Status | None) -> _Found | None:
        """Read a run; None where there is none, or it cannot be reached."""
        run = self._folder(path)
        try:
            stamp = _settled_stamp(run.path.stat())  # before its files, so that none is missed
            if not run.exists():
                return None
        except OSError:
            return None
        written, is_read = readable_status(run)
        row = read_row(run, status or written)
        return _Found(row, inode, stamp if is_read else "")

    def _write(self, found: Mapping[bytes, _Found | None]) -> None:
        self._delete(path for path, there in found.items() if there is None)
        there = [one for one in found.values() if one is not None]
        self._many(INSERT, (_values(one) for one in there))
        fields = {name for one in there for name in one.row.config}
        self._many("INSERT OR IGNORE INTO fields VALUES (?)", ((name,) for name in fields))
        folders = {path.rpartition(b"/")[0] for path in found}
        self._many("INSERT OR IGNORE INTO folders VALUES (?, '')", ((name,) for name in folders))

    def _drop(self, gone: Collection[bytes], folders: Collection[bytes]) -> None:
        if not gone and not folders:
            return
        with self._file.transaction():
            self._count_announcement()  # who has read one of them by now is late
            self._delete(gone)
            self._many("DELETE FROM folders WHERE name = ?", ((name,) for name in folders))

    def _delete(self, paths: Iterable[bytes]) -> None:
        """Forget runs; where one was only out of reach, the next listing finds it again."""
        gone = [(path, path.rpartition(b"/")[0]) for path in paths]
        self._many("DELETE FROM runs WHERE path = ?", ((path,) for path, _ in gone))
        self._many("UPDATE folders SET stamp = '' WHERE name = ?", ((name,) for _, name in gone))

    def _trust(self, stamps: Mapping[bytes, str]) -> None:
        self._many("INSERT OR REPLACE INTO folders VALUES (?, ?)", stamps.items())

    def _announcements(self) -> int:
        return self._select("SELECT count FROM announcements")[0][0]

    def _count_announcement(self) -> None:
        self._file.connection.execute("UPDATE announcements SET count = count + 1")

    def _select(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._file.connection.execute(sql, parameters).fetchall()

    def _many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        self._file.connection.executemany(sql, parameters)

    def _folder(self, path: bytes) -> RunFolder:
        return RunFolder(self._runs / os.fsdecode(path))


def _values(found: _Found) -> tuple[Any, ...]:
    """Return a run as the columns of its row."""
    row = found.row
    path = os.fsencode(row.path)
    words = [f"{row.name}/{row.id}", row.rationale, row.conclusion, *row.tags]
    texts = {name: json.dumps(getattr(row, name)) for name in JSON_FIELDS}
    return (
        *row._replace(path=path, **texts),
        path.rpartition(b"/")[0],
        found.inode,
        found.stamp,
        row.is_final,
        "\n".join(words).casefold(),
    )


def _experiment_folders(runs: Path) -> dict[bytes, os.stat_result]:
    """Return the folders in which runs lie, each as it was before anybody listed it."""
    found: dict[bytes, os.stat_result] = {}
    with suppress(FileNotFoundError):  # without the folder of all runs there is none
        for entry in _folders_in(runs):
            with suppress(FileNotFoundError):  # it went at this moment
                found[entry.name] = entry.stat()
    return found


def _folders_in(folder: Path) -> Iterator[os.DirEntry[bytes]]:
    with os.scandir(os.fsencode(folder)) as entries:
        yield from (e for e in entries if not e.name.startswith(b".") and _is_folder(e))


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle
        return False


def _stamp(found: os.stat_result) -> str:
    """Return what changes whenever something appears in a folder, or goes.

    The time of change is there because copying programs set the other one back.
    """
    return f"{found.st_ino} {found.st_nlink} {found.st_mtime_ns} {found.st_ctime_ns}"


def _settled_stamp(found: os.stat_result) -> str:
    """Return the stamp where it can be trusted; else, and where the clock was set back, nothing."""
    is_settled = time.time() - max(found.st_mtime, found.st_ctime) > SETTLED_S
    return _stamp(found) if is_settled else ""
