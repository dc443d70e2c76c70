"""The index's SQLite file: a cache that may be deleted, damaged or out of reach at any time.

It has a lock file beside it. Whoever uses the index shares that lock with all others who do; who
puts a new file in its place holds it alone, for a moment, because SQLite's own log (`-wal`) is
found by name and would be taken for the new file's. A new file is empty: it knows no run yet, and
whoever uses it next reads them.
"""

import errno
import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

SCHEMA_VERSION = 2
"""Raised with every change of the schema or of what is read; an older file is replaced."""
RUNS_FOLDER = "runs"
"""Name of the folder in a project that has an index."""
PATIENCE_S = 5.0
"""How long another process is waited for before the index is kept in memory."""
POLL_S = 0.01
MOST_REPLACEMENTS = 2
"""A file that is damaged again and again in one use is given up for that use."""
OUT_OF_REACH = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Errors of a file that is whole and cannot be used at present; after any other it is damaged."""


class RunIndexFile:
    """Opens the file, or memory where that cannot be, and replaces it where it is damaged."""

    def __init__(self, path: Path, schema: str) -> None:
        """Remember where it lies; nothing is opened yet.

        Args:
            path: The SQLite file.
            schema: The statements that make its tables.
        """
        self.path = path
        self.note = ""
        """Why the index is kept in memory, in one sentence; empty where it is in its file."""
        self.in_memory = False
        """Whether what is written is gone once it is closed."""
        self._schema = schema
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._damaged_inode = 0
        self._replacements = 0
        self._is_copy = False

    @property
    def connection(self) -> sqlite3.Connection:
        """The open database."""
        assert self._connection is not None, "the index is used as a context manager"
        return self._connection

    def open(self) -> None:
        """Open the file, making a new one where there is none of use; else open memory."""
        if not self._may_be_made() and not self.path.exists():
            self._open_memory()
            return
        try:
            self._lock = os.open(self._beside(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
            self._connection = self._open_or_replace()
        except (OSError, sqlite3.Error) as error:
            self._open_memory(error)

    def close(self) -> None:
        """Close it and let others replace it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def recover(self, error: sqlite3.DatabaseError) -> None:
        """Go on after an error, with a new file or in memory, knowing no run.

        Raises:
            sqlite3.DatabaseError: The error, where it happened in memory.
        """
        if self.in_memory and not self._is_copy:
            raise error
        self.close()
        self._replacements += 1
        if self.in_memory:
            self._open_memory()
        elif _code(error) in OUT_OF_REACH or self._replacements > MOST_REPLACEMENTS:
            self._open_memory(error)
        else:
            self._damaged_inode = self._inode
            self.open()

    def discard(self) -> None:
        """Remove the file, which could not be told what is new, so that somebody makes it anew."""
        with suppress(OSError):  # where that cannot be either, nothing can
            self.path.unlink(missing_ok=True)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Write all that the block writes, or nothing; other writers wait."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:  # some errors have ended it already
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def _may_be_made(self) -> bool:
        """Tell whether a file belongs there; where somebody keeps a copy of a run, none does."""
        return self.path.parent.name == RUNS_FOLDER and self.path.parent.is_dir()

    def _open_or_replace(self) -> sqlite3.Connection:
        for _ in range(1 + MOST_REPLACEMENTS):
            self._take(fcntl.LOCK_SH)
            if connection := self._open_whole():
                return connection
            self._take(fcntl.LOCK_EX)
            if connection := self._open_whole():  # somebody else was faster
                connection.close()
            else:
                self._make()
        raise OSError("it was damaged again and again")

    def _take(self, kind: int) -> None:
        """Take the lock; a change of kind lets others in between."""
        assert self._lock is not None
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(self._lock, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError("another process holds it") from None
                time.sleep(POLL_S)
            else:
                return

    def _open_whole(self) -> sqlite3.Connection | None:
        """Open the file; None where there is none, or none of our schema."""
        try:
            inode = self.path.stat().st_ino
        except FileNotFoundError:
            return None
        if inode == self._damaged_inode:
            return None
        try:
            connection = _connect(f"{self.path.absolute().as_uri()}?mode=rw")
        except sqlite3.OperationalError:
            if self.path.exists():
                raise
            return None  # it was deleted just now
        is_whole = False
        try:
            connection.execute("PRAGMA synchronous = NORMAL")  # a cache may lose its last words
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            is_whole = version == SCHEMA_VERSION
        except sqlite3.DatabaseError as error:
            if _code(error) in OUT_OF_REACH:
                raise
        finally:
            if not is_whole:
                connection.close()
        self._inode = inode
        return connection if is_whole else None

    def _make(self) -> None:
        """Put a new file in place; only for who holds the lock alone."""
        for leftover in self.path.parent.glob(f"{self.path.name}.*.tmp*"):
            leftover.unlink(missing_ok=True)
        temporary = self._beside(f".{secrets.token_hex(4)}.tmp")
        connection = _connect(f"{temporary.absolute().as_uri()}?mode=rwc")
        try:
            connection.executescript(self._schema)
            connection.execute("PRAGMA journal_mode = WAL")  # else readers wait for writers
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        finally:
            connection.close()
        for suffix in ("-wal", "-shm", "-journal"):
            self._beside(suffix).unlink(missing_ok=True)
        temporary.replace(self.path)
        self._damaged_inode = 0

    def _open_memory(self, error: Exception | None = None) -> None:
        """Keep the index in memory, with what can be read of the file."""
        self.close()
        self.in_memory = True
        self._is_copy = False
        self._connection = _connect("file::memory:")
        self._connection.executescript(self._schema)
        if error is not None:
            self.note = (
                f"the index {self.path} cannot be used ({error}), so the runs are read without it; "
                "what it says is right, and takes longer"
            )
            if _is_read_only(error):
                self._copy_file()

    def _copy_file(self) -> None:
        """Take over what a file holds that may only be read."""
        # Without a log there is nothing to lock, so it can be read where no file can be made.
        options = "mode=ro" if self._beside("-wal").exists() else "mode=ro&immutable=1"
        try:
            self.connection.execute(
                "ATTACH ? AS kept", (f"{self.path.absolute().as_uri()}?{options}",)
            )
            if self.connection.execute("PRAGMA kept.user_version").fetchone()[0] != SCHEMA_VERSION:
                return
            names = self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            self._is_copy = True
            with self.transaction():
                for (name,) in names.fetchall():
                    self.connection.execute(f"DELETE FROM {name}")
                    self.connection.execute(f"INSERT INTO {name} SELECT * FROM kept.{name}")
        except sqlite3.Error:
            return  # then every run is read

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=PATIENCE_S, isolation_level=None)
    connection.create_function("casefold", 1, _casefold, deterministic=True)
    return connection


def _casefold(value: object) -> str | None:
    return None if value is None else str(value).casefold()


def _code(error: BaseException) -> int:
    """Return SQLite's primary error code; -1 where there is none."""
    code = getattr(error, "sqlite_errorcode", -1)
    return code & 0xFF if code >= 0 else code


def _is_read_only(error: Exception) -> bool:
    """Tell whether a file may be whole, and only cannot be written."""
    if isinstance(error, sqlite3.Error):
        return _code(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
    return isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS
