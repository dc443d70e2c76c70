"""Sealed chunks: `replay/chunk-000000.npz` and so on, and `manifest.json`, which says what counts.

A chunk is an ordinary compressed npz file (`numpy.load` reads it) of consecutive rows of all
streams and is never written again. The manifest is replaced last, so whatever it names is whole;
chunk files that it does not name are leftovers of an interrupted save, which the next replaces.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from rlmaster.durable_files import read_json, write_atomically, write_json
from rlmaster.errors import RunFolderError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
FRAMES_PER_CHUNK = 4096
COMPRESSION_LEVEL = 6
"""Of deflate. Level 1 is 1.5 to 2 times as fast (6 compresses 180 MB/s) and twice the size."""
THREADS = 2
"""Chunks that are compressed or read side by side; deflate and SHA-256 leave Python's lock."""

Rows = dict[str, NDArray[Any]]
"""Arrays by name, each `(rows, E, ...)`."""
OnProgress = Callable[[int, int], None]
"""Called with the rows done and the rows to do."""


@dataclass(frozen=True)
class Chunk:
    """One sealed file."""

    file: str
    first_row: int
    rows: int
    sha256: str


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
    def num_rows(self) -> int:
        """Rows of each stream that are sealed."""
        return sum(chunk.rows for chunk in self.chunks)

    def add(
        self,
        rows_between: Callable[[int, int], Rows],
        stop_row: int,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Seal the rows after those that are sealed, up to `stop_row`.

        Args:
            rows_between: Returns the rows from the first up to the second number.
            stop_row: One past the last row to seal.
            on_progress: Told as chunks are written.

        Raises:
            RunFolderError: If they cannot be written; the manifest then stays as it was.
        """
        first_new_row = self.num_rows
        rows_per_chunk = rows_of_a_chunk(self.num_environments)

        def seal(first_row: int) -> Chunk:
            number = len(self.chunks) + (first_row - first_new_row) // rows_per_chunk
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
                        on_progress(
                            chunk.first_row + chunk.rows - first_new_row, stop_row - first_new_row
                        )
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
        """Read and verify all chunks.

        Args:
            keep_rows: Called, from several threads, with the number of the first row and the rows.
            on_progress: Told as chunks are read.
            on_damage: Told of the first chunk that is missing or damaged; it and those after it are
                then forgotten, to be added again. By default that is an error.

        Raises:
            RunFolderError: If a chunk is missing or damaged, by its name.
        """
        total_rows = self.num_rows

        def read_one(chunk: Chunk) -> Chunk | RunFolderError:
            try:
                keep_rows(chunk.first_row, _verified_rows(self.path / chunk.file, chunk.sha256))
            except RunFolderError as error:
                return error
            return chunk

        with ThreadPoolExecutor(THREADS) as threads:
            for number, answer in enumerate(threads.map(read_one, self.chunks)):
                if isinstance(answer, RunFolderError):
                    if on_damage is None:
                        raise answer
                    on_damage(self.chunks[number])
                    self.chunks = self.chunks[:number]
                    return
                if on_progress is not None:
                    on_progress(answer.first_row + answer.rows, total_rows)

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


def compress(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the content of an npz file; the same arrays always give the same bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(
        file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL
    ) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            npy_format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy")  # its date is fixed, unlike that of `writestr`
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content.getbuffer(), compresslevel=COMPRESSION_LEVEL)
    return file.getvalue()


def _verified_rows(file: Path, sha256: str) -> Rows:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RunFolderError(
            f"{file} cannot be read ({error.strerror or error}); copy the run's replay again"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RunFolderError(
            f"{file} is damaged: its checksum is not the one in manifest.json; copy it again, or "
            "collect the frames again"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def _manifest_file(path: Path) -> Path:
    return path / MANIFEST


def _cannot_write(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot write the replay into {path} ({error.strerror or error}); "
        "free some space or check who may write there"
    )
