"""A file that comes from another computer: beside its place until it is whole."""

import hashlib
import os
from pathlib import Path

from rlmaster.fleet.contained_files import open_file, remove_file, rename_file, write_at

READ_BYTES = 2**20


def partial_name(path: str) -> str:
    """Return what a file is called while it is on its way."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}.{name}.partial"


class ArrivingFile:
    """A file of a run folder that is on its way, open for what comes next."""

    def __init__(self, base: Path, path: str, size: int) -> None:
        """Go on after what is here.

        Args:
            base: The run folder.
            path: The file in it.
            size: How much of what is here counts.

        Raises:
            OSError: If it cannot be written.
        """
        self.path = path
        self._base = base
        self._handle = open_file(base, partial_name(path), os.O_RDWR | os.O_CREAT)
        os.ftruncate(self._handle, size)
        self._checksum = hashlib.sha256()
        self.size = 0
        while content := os.pread(self._handle, READ_BYTES, self.size):
            self._checksum.update(content)
            self.size += len(content)

    def append(self, content: bytes) -> None:
        """Write down what has come."""
        write_at(self._handle, self.size, content)
        self._checksum.update(content)
        self.size += len(content)

    def finish(self, size: int, sha256: str) -> bool:
        """Give it its name if it is what was sent, and tell whether it is."""
        is_right = (self.size, self._checksum.hexdigest()) == (size, sha256)
        if is_right:
            os.fsync(self._handle)
            rename_file(self._base, partial_name(self.path), self.path.rpartition("/")[2])
        self.close()
        return is_right

    def discard(self) -> None:
        """Forget what has come."""
        self.close()
        remove_file(self._base, partial_name(self.path))

    def close(self) -> None:
        """Keep what has come for the next time."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
