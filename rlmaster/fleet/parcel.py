"""Folders as they are sent to a host: which files they have, and with what content."""

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rlmaster.durable_files import JsonObject
from rlmaster.errors import RunFolderError

BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Content:
    """A file that a folder there shall have."""

    path: str
    """Within the folder, with `/`."""
    source: Path | bytes
    """Where its content lies here, or the content itself."""
    link: str = ""
    """A file there, of a run that has ended, which probably is the same."""

    @cached_property
    def size_bytes(self) -> int:
        """How large it is."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """Its checksum."""
        if isinstance(self.source, bytes):
            return hashlib.sha256(self.source).hexdigest()
        with self.source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def blocks(self, offset: int) -> Iterator[bytes]:
        """Yield what comes after an offset, exactly as much as its size says.

        Raises:
            RunFolderError: If the file has become shorter meanwhile.
        """
        if isinstance(self.source, bytes):
            yield self.source[offset:]
            return
        with self.source.open("rb") as file:
            file.seek(offset)
            while offset < self.size_bytes:
                block = file.read(min(BLOCK_BYTES, self.size_bytes - offset))
                if not block:
                    raise RunFolderError(f"{self.source} was changed while it was sent; try again")
                offset += len(block)
                yield block


@dataclass(frozen=True)
class Parcel:
    """A folder that a host shall have."""

    target: str
    """Its absolute path there."""
    contents: Sequence[Content]
    folders: Sequence[str] = ()
    """Folders within it, for those that would be empty."""
    trees: Mapping[str, str] = field(default_factory=dict[str, str])
    """Folders within it whose files are those of another folder there, by their names."""
    run_id: str = ""
    """The run that it is the folder of, if it is one."""
    replace_below_attempt: int | None = None
    """A folder there of an earlier attempt than this is set aside; None to leave any as it is."""

    def size_bytes(self) -> int:
        """Return how large its files are together.

        Raises:
            RunFolderError: If one cannot be read.
        """
        with reading():
            return sum(content.size_bytes for content in self.contents)

    def request(self) -> JsonObject:
        """Return what the program there is asked for."""
        return {
            "target": self.target,
            "files": [
                {"path": c.path, "size": c.size_bytes, "sha256": c.sha256, "link": c.link}
                for c in self.contents
            ],
            "folders": list(self.folders),
            "trees": [{"path": path, "source": source} for path, source in self.trees.items()],
            "run_id": self.run_id,
            "replace_below_attempt": self.replace_below_attempt,
        }

    def check_names(self) -> None:
        """Refuse names that lead out of the folder, wherever they came from.

        Raises:
            RunFolderError: If there is one.
        """
        for name in (*(c.path for c in self.contents), *self.folders, *self.trees):
            if any(part in ("", ".", "..") or "\0" in part for part in name.split("/")):
                raise RunFolderError(f"{name!r} is no name of a file inside a folder; rename it")


@contextmanager
def reading() -> Generator[None]:
    """Say what cannot be read here.

    Raises:
        RunFolderError: If something cannot.
    """
    try:
        yield
    except OSError as error:
        reason = f"{error.filename} cannot be read ({error.strerror or error})"
        raise RunFolderError(f"{reason}, so it cannot be sent; make it readable") from error
