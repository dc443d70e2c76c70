"""Lists, hashes and sends the files of one run folder, to whoever started this over SSH.

It is sent to a host and runs there under the Python that is there: 3.8 or later, standard library
only. Arguments: the run folder, a regular expression of the paths that may be sent, and after how
many seconds without a sign of the other side it ends.

stdin takes a JSON object a line, and each is answered in turn:

* `{"list": true}`: frames `pointer` with the content of files that name others, then frames `files`
  with `[[path, size], ...]`, then `listed`. The pointers are read before anything else is looked
  at, so that what they name is there.
* `{"hash": path, "size"}`: a frame `hash` with the `sha256` of the first `size` bytes.
* `{"fetch": path, "offset", "size", "whole"}`: frames `data`, then `end` with the same checksum. A
  file that is `whole` must have just that size.

A file that is gone or another by now is answered with `changed`. A frame is a JSON line and the
bytes that its `size` tells, compressed where `length` is larger; `beat` only says that this lives.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

CHUNK_BYTES = 256 * 1024
BEAT_S = 1.0
MOST_FILES = 200_000
FILES_PER_FRAME = 1_000
MOST_POINTER_BYTES = 4 * 2**20
POINTERS = ("manifest.json", "best.json")
SAFE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ChangedError(Exception):
    """A file is not what was listed."""


class Answering:
    """Answers for one run folder."""

    def __init__(self, folder: Path, allowed: str, silence_s: int) -> None:
        """Answer on stdout."""
        self.folder = folder
        self.silence_s = silence_s
        self.allowed = re.compile(allowed, re.ASCII)
        self.out = sys.stdout.buffer
        self.said_s = time.monotonic()

    def say(self, header: dict[str, Any], content: bytes = b"") -> None:
        """Write a frame; where nobody takes it, the alarm ends this."""
        packed = zlib.compress(content, 1)
        if len(packed) > 0.9 * len(content):
            packed = content
        header.update(size=len(packed), length=len(content))
        self.out.write(json.dumps(header).encode() + b"\n" + packed)
        self.out.flush()
        self.said_s = time.monotonic()
        signal.alarm(self.silence_s)

    def answer(self, asked: dict[str, Any]) -> None:
        """Answer one question."""
        try:
            if "list" in asked:
                self.list_files()
            elif "hash" in asked:
                self.send(asked["hash"], asked["size"], asked["size"], False, "hash")
            else:
                self.send(asked["fetch"], asked["offset"], asked["size"], asked["whole"], "end")
        except (OSError, ChangedError):
            self.say({"kind": "changed", "path": asked.get("hash") or asked.get("fetch")})

    def list_files(self) -> None:
        """List what is there."""
        for path, _ in self.files():
            if path.rpartition("/")[2] in POINTERS:
                with self.opened(path) as file:
                    self.say({"kind": "pointer", "path": path}, file.read(MOST_POINTER_BYTES))
        found = [entry for entry in self.files() if entry[0].rpartition("/")[2] not in POINTERS]
        for first in range(0, len(found), FILES_PER_FRAME):
            part = json.dumps(found[first : first + FILES_PER_FRAME]).encode()
            self.say({"kind": "files"}, part)
        self.say({"kind": "listed"})

    def files(self) -> Iterator[tuple[str, int]]:
        """Give path and size of each file that may be sent; links lead nowhere."""
        count = 0
        for folder, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                place = Path(folder, name)
                path = place.relative_to(self.folder).as_posix()
                if self.allowed.fullmatch(path) and count < MOST_FILES:
                    found = os.lstat(place)
                    if stat.S_ISREG(found.st_mode):
                        count += 1
                        yield path, found.st_size

    def opened(self, path: str) -> BinaryIO:
        """Open a file that may be sent."""
        if not self.allowed.fullmatch(path):
            raise ChangedError
        file = os.fdopen(os.open(self.folder / path, SAFE_FLAGS), "rb")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise ChangedError
        return file

    def send(self, path: str, offset: int, size: int, whole: bool, last: str) -> None:
        """Send a file from an offset up to a size, and the checksum of all up to that size."""
        checksum = hashlib.sha256()
        with self.opened(path) as file:
            before = os.fstat(file.fileno())
            if before.st_size < size or (whole and before.st_size != size):
                raise ChangedError
            done = 0
            while done < size:
                content = file.read(min(CHUNK_BYTES, (offset if done < offset else size) - done))
                if not content:
                    raise ChangedError
                checksum.update(content)
                if done >= offset:
                    self.say({"kind": "data", "path": path, "offset": done}, content)
                elif time.monotonic() - self.said_s > BEAT_S:
                    self.say({"kind": "beat"})
                done += len(content)
            after = os.fstat(file.fileno())
            if whole and (after.st_size, after.st_mtime_ns) != (size, before.st_mtime_ns):
                raise ChangedError
        self.say({"kind": last, "path": path, "sha256": checksum.hexdigest()})


def main(folder: Path, allowed: str, silence_s: int) -> None:
    """Answer until the other side has no more questions, or is gone."""
    answering = Answering(folder, allowed, silence_s)
    signal.alarm(silence_s)
    for line in sys.stdin.buffer:
        signal.alarm(silence_s)
        answering.answer(json.loads(line))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    except BrokenPipeError:
        os._exit(0)  # nobody listens any more
