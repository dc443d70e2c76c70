"""Frames: what the program on a host sends, a line of JSON and some bytes at a time.

Nothing of it is trusted: sizes are bounded before anything is kept, and what claims to be
compressed is unpacked no further than it said.
"""

import zlib
from dataclasses import dataclass
from typing import Any, cast

from rlmaster.durable_files import JsonObject, parse_object
from rlmaster.errors import HostError
from rlmaster.ssh.process import Process

MOST_HEADER_BYTES = 64 * 2**10
"""The longest header is that of a listing, which comes in parts."""
MOST_CONTENT_BYTES = 8 * 2**20
READ_BYTES = 256 * 2**10


@dataclass(frozen=True)
class Frame:
    """What a host said, piece by piece."""

    header: JsonObject
    content: bytes
    wire_bytes: int
    """How much of it has travelled."""

    def text(self, name: str) -> str:
        """Return a field that is text; empty where it is something else."""
        value = self.header.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> frozenset[str]:
        """Return a field that is a list of texts; empty where it is something else."""
        value = self.header.get(name)
        words = cast("list[Any]", value) if isinstance(value, list) else []
        return frozenset(word for word in words if isinstance(word, str))

    def number(self, name: str) -> int:
        """Return a field that is a count; -1 where it is something else."""
        return as_count(self.header.get(name))


def as_count(value: object) -> int:
    """Return a count that another computer told; -1 where it is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        return -1
    return value if 0 <= value < 2**60 else -1


class FrameReader:
    """Takes the frames out of what a program on a host says."""

    def __init__(self, process: Process, host: str) -> None:
        """Read from a process.

        Args:
            process: What speaks in frames.
            host: Whose name errors give.
        """
        self._process = process
        self._host = host
        self._unread = bytearray()
        self.has_ended = False
        """Whether the program has said everything it ever will."""

    def arrived(self, timeout_s: float) -> list[Frame]:
        """Return the frames that are whole after what comes next; often one, or none.

        Raises:
            SilenceError: If nothing comes in time.
            HostError: If the connection is lost, or what comes is no frame.
        """
        piece = self._process.read(READ_BYTES, timeout_s=timeout_s)
        self.has_ended = not piece
        self._unread += piece
        frames: list[Frame] = []
        while (frame := self._take()) is not None:
            frames.append(frame)
        return frames

    def _take(self) -> Frame | None:
        """Take the first frame off what is unread, if it is whole."""
        end = self._unread.find(b"\n", 0, MOST_HEADER_BYTES)
        if end < 0:
            if len(self._unread) >= MOST_HEADER_BYTES:
                raise self._nonsense()
            return None
        header = self._header(bytes(self._unread[:end]))
        size, length = as_count(header.get("size", 0)), as_count(header.get("length", 0))
        if not 0 <= size <= length <= MOST_CONTENT_BYTES:
            raise self._nonsense()
        if len(self._unread) < end + 1 + size:
            return None
        packed = bytes(self._unread[end + 1 : end + 1 + size])
        del self._unread[: end + 1 + size]
        return Frame(header, self._unpacked(packed, length), end + 1 + size)

    def _header(self, line: bytes) -> JsonObject:
        header = parse_object(line)
        if header is None:
            raise self._nonsense()
        return header

    def _unpacked(self, packed: bytes, length: int) -> bytes:
        if len(packed) == length:
            return packed
        unpacking = zlib.decompressobj()
        try:
            content = unpacking.decompress(packed, length + 1)
        except zlib.error as error:
            raise self._nonsense() from error
        if len(content) != length or not unpacking.eof:
            raise self._nonsense()
        return content

    def _nonsense(self) -> HostError:
        return HostError(
            f"{self._host} sends what was not asked for; look there for what changes the output "
            "of its programs"
        )
