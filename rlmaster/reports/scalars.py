"""Scalars of a run, read from its TensorBoard event files while these grow.

An event file is a row of records: length (u64), masked CRC-32C of the length (u32), content, masked
CRC-32C of the content (u32). Only the first checksum is verified: it keeps the reader in step, and
damaged content almost always shows when it is parsed.
"""

import math
import stat
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HEADER_BYTES = 12
CHECKSUM_BYTES = 4
SMOOTHED_BLOCK = 64
"""Values that are smoothed by one product of matrices."""

# By name, because generated code has no types. Neither module loads TensorBoard itself.
EVENT = import_module("tensorboard.compat.proto.event_pb2")
TYPES = import_module("tensorboard.compat.proto.types_pb2")
TENSOR_FIELDS: dict[int, tuple[str, str]] = {
    TYPES.DT_FLOAT: ("<f4", "float_val"),
    TYPES.DT_DOUBLE: ("<f8", "double_val"),
    TYPES.DT_INT32: ("<i4", "int_val"),
    TYPES.DT_INT64: ("<i8", "int64_val"),
}
"""Element type and field of the tensors that a scalar may arrive in."""


class Series:
    """The points of one scalar, ordered by step.

    An array once taken stays as it is; after an update, ask again.
    """

    def __init__(self) -> None:
        """Start without a point."""
        self._table = np.empty((3, 0))
        self._length = 0
        self._fresh = array("d")

    def __len__(self) -> int:
        """Return the number of points."""
        return self._length

    @property
    def steps(self) -> Floats:
        """Where on the run's axis each point lies."""
        return self._table[0, : self._length]

    @property
    def values(self) -> Floats:
        """The scalar's values; not a number where the run said so."""
        return self._table[1, : self._length]

    @property
    def wall_times(self) -> Floats:
        """When each point was written, in seconds since 1970."""
        return self._table[2, : self._length]

    def append(self, step: int, value: float, wall_time: float) -> None:
        """Take in a point; it shows after `settle`."""
        self._fresh.extend((step, value, wall_time))

    def settle(self) -> None:
        """Move what was appended into the arrays."""
        fresh = np.array(self._fresh).reshape(-1, 3).T
        self._fresh = array("d")
        end = self._length + fresh.shape[1]
        if end > self._table.shape[1]:
            grown = np.empty((3, max(end, 2 * self._length)))
            grown[:, : self._length] = self._table[:, : self._length]
            self._table = grown
        ordered_from = max(self._length - 1, 0)
        self._table[:, self._length : end] = fresh
        self._length = end
        if np.any(np.diff(self.steps[ordered_from:]) < 0):
            order = np.argsort(self.steps, kind="stable")
            self._table = self._table[:, order]

    def drop_from(self, step: int) -> None:
        """Forget the points at this step and after it."""
        self.settle()
        self._length = int(np.searchsorted(self.steps, step))
        self._table = self._table[:, : self._length].copy()


@dataclass
class _EventFile:
    """How far one event file has been read."""

    offset: int = 0
    restart: float = math.inf
    """Smallest step that a writer of this file restarted from."""
    damaged: bool = False


class ScalarReader:
    """Reads a folder of event files, and on each update only what is new."""

    def __init__(self, folder: Path) -> None:
        """Point at a folder, which need not exist yet; nothing is read."""
        self.folder = folder
        self.series: dict[str, Series] = {}
        """The points so far, by tag."""
        self.notes: list[str] = []
        """What could not be read, a sentence each."""
        self._files: dict[str, _EventFile] = {}

    def update(self) -> bool:
        """Read the whole records that are new, and tell whether that changed anything."""
        sizes = _event_file_sizes(self.folder)
        changed = self._is_rewritten(sizes)
        if changed:
            self.series, self.notes, self._files = {}, [], {}
        for name in sorted(sizes):
            file = self._files.setdefault(name, _EventFile())
            if sizes[name] > file.offset and not file.damaged:
                changed |= self._read(name, file, sizes[name])
        for series in self.series.values():
            series.settle()
        return changed

    def _is_rewritten(self, sizes: dict[str, int]) -> bool:
        """Tell whether files changed otherwise than by growing, so that all must be read again."""
        shrunk = any(sizes.get(name, -1) < file.offset for name, file in self._files.items())
        newest = max(self._files, default="")
        return shrunk or any(name < newest for name in sizes.keys() - self._files.keys())

    def _read(self, name: str, file: _EventFile, size: int) -> bool:
        """Read a file's new records, and tell whether there were any."""
        before = file.offset
        later = [other.restart for key, other in self._files.items() if key > name]
        ceiling = min(later, default=math.inf)
        try:
            parse = EVENT.Event.FromString
            for content in _whole_records(self.folder / name, file, size):
                self._take(parse(content), file, ceiling)
        except (ValueError, DecodeError, OSError) as error:
            file.damaged = True
            self.notes.append(f"{name} cannot be read beyond byte {file.offset} ({error})")
            return True
        return file.offset > before

    def _take(self, event: Any, file: _EventFile, ceiling: float) -> None:
        """Keep an event's scalars, unless a later attempt started again before them."""
        values = event.summary.value
        if not values and event.HasField("session_log"):
            self._restart(event, file)
        step = event.step
        if step >= ceiling:
            return
        for value in values:
            if value.HasField("simple_value"):
                number = value.simple_value
            elif (number := _scalar_of_tensor(value.tensor)) is None:
                continue
            series = self.series.get(value.tag)
            if series is None:
                series = self.series[value.tag] = Series()
            series.append(step, number, event.wall_time)

    def _restart(self, event: Any, file: _EventFile) -> None:
        """Forget what an earlier attempt did after the checkpoint that this one starts from."""
        if event.session_log.status != EVENT.SessionLog.START:
            return
        file.restart = min(file.restart, event.step)
        for series in self.series.values():
            series.drop_from(event.step)


def read_scalars(folder: Path) -> dict[str, Series]:
    """Return every scalar of a folder of event files, by tag."""
    reader = ScalarReader(folder)
    reader.update()
    return reader.series


def smooth(values: Floats, weight: float) -> Floats:
    """Smooth values as TensorBoard does: an exponential moving average without bias towards zero.

    Args:
        values: The raw values; those that are not finite stay as they are and are passed over.
        weight: Share of the past in each value, from 0 (nothing changes) to just below 1.

    Raises:
        ValueError: If the weight is outside [0, 1).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"the smoothing weight is {weight}; it must be at least 0 and below 1")
    smoothed = np.array(values, dtype=np.float64)
    finite = np.isfinite(smoothed)
    averages = _moving_average(smoothed[finite], weight)
    smoothed[finite] = averages / (1 - weight ** np.arange(1, len(averages) + 1))
    return smoothed


def _moving_average(values: Floats, weight: float) -> Floats:
    """Return the exponential moving average from zero, a block of values at a time."""
    lags = np.subtract.outer(np.arange(SMOOTHED_BLOCK), np.arange(SMOOTHED_BLOCK))
    kernel = np.where(lags >= 0, (1 - weight) * weight ** np.maximum(lags, 0), 0.0)
    decay = weight ** np.arange(1, SMOOTHED_BLOCK + 1)
    padding = -len(values) % SMOOTHED_BLOCK
    blocks = np.pad(values, (0, padding)).reshape(-1, SMOOTHED_BLOCK) @ kernel.T
    for before, block in pairwise(blocks):
        block += before[-1] * decay
    return blocks.ravel()[: len(values)]


def _event_file_sizes(folder: Path) -> dict[str, int]:
    """Return name and size of the regular event files of a folder, without its subfolders."""
    sizes: dict[str, int] = {}
    for path in folder.glob("*tfevents*"):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            sizes[path.name] = status.st_size
    return sizes


def _whole_records(path: Path, file: _EventFile, size: int) -> Iterator[bytes]:
    """Yield the records that are whole; the offset moves on once the reader comes back for more.

    Raises:
        ValueError: If a length does not fit its checksum.
    """
    known_headers: set[bytes] = set()
    with path.open("rb", buffering=1 << 20) as stream:
        stream.seek(file.offset)
        while len(header := stream.read(HEADER_BYTES)) == HEADER_BYTES:
            if header not in known_headers:
                _check_header(header)
                known_headers.add(header)
            length = int.from_bytes(header[:8], "little")
            end = file.offset + HEADER_BYTES + length + CHECKSUM_BYTES
            if end > size:
                return
            yield stream.read(length + CHECKSUM_BYTES)[:length]
            file.offset = end


def _check_header(header: bytes) -> None:
    length, checksum = header[:8], struct.unpack("<I", header[8:])[0]
    if _masked_crc32c(length) != checksum:
        raise ValueError("a record is damaged")


def _masked_crc32c(content: bytes) -> int:
    """Return the checksum of TFRecord files: CRC-32C, rotated and shifted by a constant."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _scalar_of_tensor(tensor: Any) -> float | None:
    """Return the one number of a scalar tensor, or None for any other."""
    if tensor.dtype not in TENSOR_FIELDS:
        return None
    element_type, field = TENSOR_FIELDS[tensor.dtype]
    if tensor.tensor_content:
        numbers = np.frombuffer(tensor.tensor_content, element_type).tolist()
    else:
        numbers = list(getattr(tensor, field))
    is_scalar = len(numbers) == 1 and all(axis.size == 1 for axis in tensor.tensor_shape.dim)
    return float(numbers[0]) if is_scalar else None
