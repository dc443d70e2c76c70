"""The files of one run folder on a host: listed, hashed and fetched, with nothing trusted."""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from rlmaster.errors import HostError
from rlmaster.fleet.frames import Frame, FrameReader, as_count
from rlmaster.fleet.run_files import MOST_FILES, PULLED, shown_name
from rlmaster.hosts.remote import RemoteHost

T = TypeVar("T")
SCRIPT = "files_script.py"
ANSWER_S = 20.0
"""How long the host may be silent; it says each second that it computes a checksum."""
FORGOTTEN_S = 120
"""After so long without a sign of us, the program there ends."""
ASKED_AHEAD = 16
"""So many files are asked for before the first has come, so that small ones need not wait."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a run on its host."""

    path: str
    """Within the run folder, with `/`."""
    size: int
    sha256: str = ""
    """Empty where it was not asked for."""
    content: bytes | None = None
    """Of a small file that names others, as it was before these were listed; else None."""


@dataclass(frozen=True)
class Wanted:
    """A file to be fetched."""

    file: RemoteFile
    offset: int
    """So much of it is here already."""
    is_whole: bool
    """Whether it must have just that size; of one that grows, more may have come."""


class FileSource:
    """A run folder on a host, while it is asked for files."""

    def __init__(self, remote: RemoteHost, folder: str) -> None:
        """Start the program there that answers.

        Args:
            remote: The host, connected.
            folder: The run folder there.

        Raises:
            HostError: If it cannot be started.
        """
        self.host = remote.host.name
        self._process = remote.start_script(SCRIPT, [folder, PULLED.pattern, str(FORGOTTEN_S)])
        self._reader = FrameReader(self._process, self.host)
        self._frames: deque[Frame] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._process.close()

    def files(self) -> list[RemoteFile]:
        """List what is there.

        Raises:
            HostError: If it offers what cannot be a file of a run.
        """
        self._ask({"list": True})
        found: dict[str, RemoteFile] = {}
        while (frame := self._next()).text("kind") != "listed":
            for file in self._listed(frame):
                if not PULLED.fullmatch(file.path):
                    raise HostError(
                        f"{self.host} offers a file {shown_name(file.path)}, which no run has; "
                        "nothing was fetched, look at the run folder there"
                    )
                found[file.path] = file
            if len(found) > MOST_FILES:
                raise HostError(f"{self.host} offers more files than a run has")
        return list(found.values())

    def _listed(self, frame: Frame) -> Iterator[RemoteFile]:
        """Give the files that a frame of the listing names."""
        if frame.text("kind") == "pointer":
            yield RemoteFile(frame.text("path"), len(frame.content), content=frame.content)
            return
        for entry in self._entries(frame):
            path, size = entry if len(entry) == 2 else ("", -1)
            if not isinstance(path, str) or as_count(size) < 0:
                raise self._nonsense()
            yield RemoteFile(path, as_count(size))

    def _entries(self, frame: Frame) -> list[list[Any]]:
        try:
            data = json.loads(frame.content)
        except (ValueError, RecursionError) as error:
            raise self._nonsense() from error
        entries = cast("list[Any]", data) if isinstance(data, list) else [None]
        if frame.text("kind") != "files" or not all(isinstance(e, list) for e in entries):
            raise self._nonsense()
        return cast("list[list[Any]]", entries)

    def checksums(self, files: Iterable[RemoteFile]) -> Iterator[tuple[RemoteFile, str]]:
        """Give the SHA-256 of each file, empty where it has changed."""
        questions = ((file, {"hash": file.path, "size": file.size}) for file in files)
        for file in self._asked_ahead(questions):
            yield file, self._answer("hash", file.path).text("sha256")

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, Frame]]:
        """Give what is wanted: frames `data` of each file, then one that is `end` or `changed`.

        Raises:
            HostError: If something else comes.
        """
        questions = (
            (
                want,
                {
                    "fetch": want.file.path,
                    "offset": want.offset,
                    "size": want.file.size,
                    "whole": want.is_whole,
                },
            )
            for want in wanted
        )
        for want in self._asked_ahead(questions):
            offset = want.offset
            while (frame := self._answer("end", want.file.path)).text("kind") == "data":
                fits = frame.number("offset") == offset
                offset += len(frame.content)
                if not fits or not frame.content or offset > want.file.size:
                    raise self._nonsense()
                yield want, frame
            yield want, frame

    def _asked_ahead(self, questions: Iterable[tuple[T, dict[str, Any]]]) -> Iterator[T]:
        """Ask some questions before the first is answered, and give what each is about in turn."""
        asked: deque[T] = deque()
        for subject, question in questions:
            self._ask(question)
            asked.append(subject)
            if len(asked) >= ASKED_AHEAD:
                yield asked.popleft()
        yield from asked

    def _ask(self, question: dict[str, Any]) -> None:
        self._process.write(json.dumps(question).encode() + b"\n")

    def _answer(self, last: str, path: str) -> Frame:
        """Return the next frame about a file.

        Raises:
            HostError: If what comes is none.
        """
        frame = self._next()
        if frame.text("path") != path or frame.text("kind") not in ("data", "changed", last):
            raise self._nonsense()
        return frame

    def _next(self) -> Frame:
        while True:
            while not self._frames:
                if self._reader.has_ended:
                    raise HostError(f"what sends files on {self.host} has ended; try again")
                self._frames.extend(self._reader.arrived(ANSWER_S))
            if (frame := self._frames.popleft()).text("kind") != "beat":
                return frame

    def _nonsense(self) -> HostError:
        return HostError(f"{self.host} answers something else than was asked; try again")
