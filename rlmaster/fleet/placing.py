"""Placing folders on a host, each whole or not at all; only what is not there yet travels."""

import json
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, cast

from rlmaster.durable_files import JsonObject
from rlmaster.errors import HostError, RunFolderError
from rlmaster.fleet.parcel import Content, Parcel, reading
from rlmaster.hosts.remote import RemoteHost, cleaned, parse_answer, wrong_answer
from rlmaster.ssh.process import Process

SCRIPT = "place_script.py"
PIECE_BYTES = 64 * 1024
"""Content that is compressed and sent at once, across the borders of small files.

So little that it is through within the deadline on the slowest link that is worth it.
"""
QUICK_COMPRESSION = 1
SILENCE_S = 30.0
"""The program there says every few seconds that it lives."""
LONGEST_LINE_BYTES = 16 * 2**20
READ_BYTES = 64 * 1024
Progress = Callable[[int, int], None]

OTHERS_LIMIT_S = 1800.0
"""How long another launch may take to send the same folder before this one gives up."""


@dataclass(frozen=True)
class Placed:
    """What it took to place a folder."""

    was_there: bool
    """Whether nothing had to be done."""
    sent_bytes: int
    """What has travelled, after compression."""
    seconds: float


class Placing:
    """The program on a host that makes folders there, as long as it is needed."""

    def __init__(self, remote: RemoteHost) -> None:
        """Start it.

        Raises:
            HostError: If it does not begin.
        """
        self._name = remote.host.name
        self._process: Process = remote.start_script(SCRIPT)
        self._said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._process.close()

    def has(self, parcel: Parcel) -> bool:
        """Tell whether a folder is there, for which its files need not be read.

        Raises:
            HostError: If the host does not say.
        """
        self._send_request({**replace(parcel, contents=()).request(), "is_question": True})
        return _object(self._answer().get("placed"), self._name).get("was_there") is True

    def place(self, parcel: Parcel, progress: Progress | None = None) -> Placed:
        """Make a folder there, or find that it is there; what was cut goes on from the byte.

        Args:
            parcel: The folder.
            progress: Told how many bytes of how many are sent, after each piece.

        Raises:
            HostError: If the host refuses, lacks the room or is lost; what has come stays there.
            RunFolderError: If a file here cannot be read, or changes meanwhile.
        """
        begun, sent_bytes = time.monotonic(), 0
        parcel.check_names()
        with reading():
            self._send_request(parcel.request())
            answer = self._answer()
            if "missing" in answer:
                missing = _missing(answer["missing"], parcel.contents, self._name)
                sent_bytes = self._send(parcel.contents, missing, progress)
                answer = self._answer()
        placed = _object(answer.get("placed"), self._name)
        if placed.get("damaged"):
            raise RunFolderError(
                f"{len(placed['damaged'])} files of {parcel.target} arrived on {self._name} with "
                "another content than they have here; try again"
            )
        return Placed(placed.get("was_there") is True, sent_bytes, time.monotonic() - begun)

    def _send_request(self, request: JsonObject) -> None:
        content = zlib.compress(json.dumps(request).encode(), QUICK_COMPRESSION)
        self._write(f"{len(content)}\n".encode() + content)

    def _send(
        self,
        contents: Sequence[Content],
        missing: Sequence[tuple[int, int]],
        progress: Progress | None,
    ) -> int:
        """Send the missing parts, one after another, as pieces; return how much has travelled."""
        total_bytes = sum(contents[index].size_bytes - offset for index, offset in missing)
        done_bytes = sent_bytes = 0
        for content in _pieces(
            b for index, offset in missing for b in contents[index].blocks(offset)
        ):
            piece = _packed(content)
            self._write(piece)
            done_bytes, sent_bytes = done_bytes + len(content), sent_bytes + len(piece)
            if progress:
                progress(done_bytes, total_bytes)
        return sent_bytes

    def _write(self, content: bytes) -> None:
        """Write to the program; where it has gone, its last words say why.

        Raises:
            HostError: If it does not take it.
        """
        try:
            self._process.write(content, timeout_s=SILENCE_S)
        except HostError:
            while "refused" not in self._line():
                pass
            raise

    def _answer(self) -> JsonObject:
        """Return the next answer that says something.

        Raises:
            HostError: If there is none, or it is a refusal.
        """
        deadline = time.monotonic() + OTHERS_LIMIT_S
        while time.monotonic() < deadline:
            answer = self._line()
            if "alive" not in answer:
                return answer
        raise HostError(
            f"{self._name}: another launch has been sending the same for too long; end it there"
        )

    def _line(self) -> JsonObject:
        """Return the next line that the program says.

        Raises:
            HostError: If there is none, it makes no sense, or it is a refusal.
        """
        while b"\n" not in self._said:
            if len(self._said) > LONGEST_LINE_BYTES:
                raise wrong_answer(self._name)
            content = self._process.read(READ_BYTES, timeout_s=SILENCE_S)
            if not content:
                raise HostError(self._last_words())
            self._said += content
        line, _, self._said = self._said.partition(b"\n")
        answer = parse_answer(line, self._name)
        if "refused" in answer:
            raise HostError(
                f"{self._name}: {cleaned(str(answer['refused']).encode(errors='replace'))}"
            )
        return answer

    def _last_words(self) -> str:
        """Return what to tell a person of a program that has ended by itself."""
        lines = cleaned(self._process.complaint()).splitlines()
        reason = lines[-1] if lines else "it said nothing"
        return (
            f"{self._name}: the program that receives files there has ended ({reason}); try again"
        )


def _missing(answer: object, contents: Sequence[Content], host: str) -> list[tuple[int, int]]:
    """Read which files are missing there, and from where on; nothing of it is trusted."""
    entries = cast("list[Any]", answer) if isinstance(answer, list) else [None]
    missing: list[tuple[int, int]] = []
    for entry in entries:
        match entry:
            case [int(index), int(offset)] if (missing[-1][0] if missing else -1) < index < len(
                contents
            ) and 0 <= offset <= contents[index].size_bytes:
                missing.append((index, offset))
            case _:
                raise HostError(f"{host} asks for files that nobody wants to send; look at it")
    return missing


def _pieces(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield content in pieces, whatever blocks it comes in."""
    waiting = bytearray()
    for block in blocks:
        waiting += block
        while len(waiting) >= PIECE_BYTES:
            yield bytes(waiting[:PIECE_BYTES])
            del waiting[:PIECE_BYTES]
    if waiting:
        yield bytes(waiting)


def _packed(content: bytes) -> bytes:
    """Return a piece as the program there reads it, compressed where that is smaller."""
    compressed = zlib.compress(content, QUICK_COMPRESSION)
    kind, sent = (b"z", compressed) if len(compressed) < len(content) else (b"r", content)
    return struct.pack(">cI", kind, len(sent)) + sent


def _object(answer: object, host: str) -> JsonObject:
    if not isinstance(answer, dict):
        raise wrong_answer(host)
    return cast("JsonObject", answer)
