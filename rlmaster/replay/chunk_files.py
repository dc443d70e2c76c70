"""Sealed chunks: `replay/chunk-000000.npz` and so on, and `manifest.json`, which says what counts.

A chunk is an ordinary compressed npz file (`numpy.load` reads it) of consecutive rows of all
streams and is never written again. The manifest is replaced last, so whatever it names is whole;
chunk files that it does not name are leftovers of an interrupted save, which the next replaces.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from rlmaster.durable_files import read_json, write_atomically, write_json
from rlmaster.errors import RunFolderError
from rlmaster.replay.chunk_content import Rows, compress, read_verified

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
FRAMES_PER_CHUNK = 4096
THREADS = 2
"""Chunks that are compressed or read side by side; deflate and SHA-256 leave Python's lock."""

OnProgress = Callable[[int, int], None]
"""Called with the rows done and the rows to do."""


@dataclass(frozen=True)
class Chunk:
    """One sealed file."""

    file: str
    first_row: int
    rows: int
    sha256: str

    @property
    def stop_row(self) -> int:
        """One past its last row."""
        return self.first_row + self.rows

    @property
    def number(self) -> int:
        """The number in its name."""
        return int(self.file.removeprefix("chunk-").removesuffix(".npz"))


OnDamage = Callable[[Chunk], None]
"""Called with the first chunk that is missing or damaged."""


class ChunkFolder:
    """The chunk files of one store."""

    def __init__(
        self, path: Path, num_environments: int, frame_shape: tuple[int, int], chunks: list[Chunk]
    ) -> None:
        """Describe a folder; `create` and `open` make one from disk."""
        self.path = path
        self.num_environments = num_environments
        self.frame_shape = frame_shape
        self.chunks = chunks

    @classmethod
    def create(cls, path: Path, num_environments: int, frame_shape: tuple[int, int]) -> Self:
        """Start an empty folder; what an earlier attempt left there is removed.

        Raises:
            RunFolderError: If it cannot be written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            _manifest_file(path).unlink(missing_ok=True)
            for file in path.glob("chunk-*.npz"):
                file.unlink()
        except OSError as error:
            raise _cannot_write(path, error) from error
        return cls(path, num_environments, frame_shape, [])

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the manifest.

        Raises:
            RunFolderError: If there is none, or it is damaged or newer than this program.
        """
        manifest = read_json(_manifest_file(path))
        if manifest is None:
            raise RunFolderError(
                f"{path} holds no whole replay (manifest.json is missing or damaged): the run has "
                "not finished collecting frames, or its replay was not copied"
            )
        if manifest.get("schema_version") != SCHEMA_VERSION:
            raise RunFolderError(
                f"{path} has replay version {manifest.get('schema_version')}, this program reads "
                f"{SCHEMA_VERSION}; use the version of RLmaster that wrote it"
            )
        try:
            height, width = manifest["frame_shape"]
            chunks = [Chunk(**chunk) for chunk in manifest["chunks"]]
            return cls(path, manifest["num_environments"], (height, width), chunks)
        except (KeyError, TypeError, ValueError) as error:
            raise RunFolderError(f"{_manifest_file(path)} is damaged; copy it again") from error

    @property
    def connected(self) -> list[Chunk]:
        """The newest chunks without a gap between them.

        A ring that comes round between two saves loses rows that were never sealed.
        """
        first = 0
        for number in range(1, len(self.chunks)):
            if self.chunks[number].first_row != self.chunks[number - 1].stop_row:
                first = number
        return self.chunks[first:]

    @property
    def first_row(self) -> int:
        """The oldest row that can be read."""
        return self.connected[0].first_row if self.chunks else 0

    @property
    def stop_row(self) -> int:
        """One past the newest row that is sealed."""
        return self.chunks[-1].stop_row if self.chunks else 0

    @property
    def num_rows(self) -> int:
        """Rows of each stream that can be read."""
        return self.stop_row - self.first_row

    def add(
        self,
        rows_between: Callable[[int, int], Rows],
        stop_row: int,
        on_progress: OnProgress | None = None,
        oldest_row: int = 0,
    ) -> None:
        """Seal the rows after those that are sealed, up to `stop_row`.

        Args:
            rows_between: Returns the rows from the first up to the second number.
            stop_row: One past the last row to seal.
            on_progress: Told as chunks are written.
            oldest_row: The oldest that there still is.

        Raises:
            RunFolderError: If they cannot be written; the manifest then stays as it was.
        """
        first_new_row = max(self.stop_row, oldest_row)
        first_number = self.chunks[-1].number + 1 if self.chunks else 0
        rows_per_chunk = rows_of_a_chunk(self.num_environments)

        def seal(first_row: int) -> Chunk:
            number = first_number + (first_row - first_new_row) // rows_per_chunk
            stop = min(first_row + rows_per_chunk, stop_row)
            content = compress(rows_between(first_row, stop))
            file = f"chunk-{number:06d}.npz"
            write_atomically(self.path / file, content, durable=True)
            return Chunk(file, first_row, stop - first_row, hashlib.sha256(content).hexdigest())

        new: list[Chunk] = []
        try:
            for left_behind in self.path.glob(".*.tmp"):  # by a process that was killed
                left_behind.unlink()
            with ThreadPoolExecutor(THREADS) as threads:
                for chunk in threads.map(seal, range(first_new_row, stop_row, rows_per_chunk)):
                    new.append(chunk)
                    if on_progress is not None:
                        on_progress(chunk.stop_row - first_new_row, stop_row - first_new_row)
            self._write_manifest([*self.chunks, *new])
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        self.chunks = [*self.chunks, *new]

    def read(
        self,
        keep_rows: Callable[[int, Rows], None],
        on_progress: OnProgress | None = None,
        on_damage: OnDamage | None = None,
    ) -> None:
        """Read and verify all connected chunks.

        Args:
            keep_rows: Called, from several threads, with the number of the first row and the rows.
            on_progress: Told as chunks are read.
            on_damage: Told of the first chunk that is missing or damaged; it and those after it are
                then forgotten, to be added again. By default that is an error.

        Raises:
            RunFolderError: If a chunk is missing or damaged, by its name.
        """
        first_row, total_rows = self.first_row, self.num_rows

        def read_one(chunk: Chunk) -> Chunk | RunFolderError:
            try:
                keep_rows(chunk.first_row, read_verified(self.path / chunk.file, chunk.sha256))
            except RunFolderError as error:
                return error
            return chunk

        with ThreadPoolExecutor(THREADS) as threads:
            for chunk, answer in zip(
                self.connected, threads.map(read_one, self.connected), strict=True
            ):
                if isinstance(answer, RunFolderError):
                    if on_damage is None:
                        raise answer
                    on_damage(chunk)
                    self.chunks = self.chunks[: self.chunks.index(chunk)]
                    return
                if on_progress is not None:
                    on_progress(answer.stop_row - first_row, total_rows)

    def cut_back(self, stop_row: int) -> None:
        """Forget chunks that were sealed after a checkpoint, since other rows will follow it.

        Raises:
            RunFolderError: If the manifest cannot be written.
        """
        self._keep([chunk for chunk in self.chunks if chunk.first_row < stop_row])

    def expire(self, oldest_row: int) -> None:
        """Forget chunks that hold only rows before one.

        Raises:
            RunFolderError: If the manifest cannot be written.
        """
        self._keep([chunk for chunk in self.chunks if chunk.stop_row > oldest_row])

    def covering(self, first_row: int, stop_row: int) -> Self:
        """Return the chunks that hold some rows, as a folder to read.

        Raises:
            RunFolderError: If they do not hold all of them, and end with the last.
        """
        needed = [chunk for chunk in self.chunks if chunk.stop_row > first_row]
        folder = type(self)(self.path, self.num_environments, self.frame_shape, needed)
        if first_row < stop_row and (folder.first_row > first_row or folder.stop_row != stop_row):
            raise RunFolderError(
                f"{self.path} does not hold the rows {first_row:,} to {stop_row - 1:,} that the "
                "checkpoint needs; copy the run's replay again, or resume from another checkpoint"
            )
        return folder

    def _keep(self, chunks: list[Chunk]) -> None:
        """Let the manifest name some chunks only, and then delete the others."""
        forgotten = [chunk for chunk in self.chunks if chunk not in chunks]
        if not forgotten:
            return
        try:
            self._write_manifest(chunks)
            self.chunks = chunks
            for chunk in forgotten:
                (self.path / chunk.file).unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def _write_manifest(self, chunks: list[Chunk]) -> None:
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "num_environments": self.num_environments,
            "frame_shape": list(self.frame_shape),
            "chunks": [asdict(chunk) for chunk in chunks],
        }
        write_json(_manifest_file(self.path), manifest, durable=True)


def rows_of_a_chunk(num_environments: int) -> int:
    """Return how many rows a chunk file holds, unless it is the last one of a recording."""
    return max(1, FRAMES_PER_CHUNK // num_environments)


def _manifest_file(path: Path) -> Path:
    return path / MANIFEST


def _cannot_write(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot write the replay into {path} ({error.strerror or error}); "
        "free some space or check who may write there"
    )
