"""A program in a terminal of its own, as benchmarks see it: keys go in, what is drawn comes out."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

COLUMNS, ROWS = 140, 45
LONGEST_S = 60.0
QUIET_S = 0.3
"""Silence after which what is on the screen is taken to be whole."""
STYLING = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
"""What moves the cursor or sets colours between the letters of a text."""


class Terminal:
    """A process with a terminal of its own, whose output is read as it comes."""

    def __init__(self, command: list[str], folder: Path) -> None:
        """Start it.

        Args:
            command: Program and arguments.
            folder: Where it runs.
        """
        self._process, self._screen = pty.fork()
        if self._process == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.chdir(folder)
            os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
            os.execv(command[0], command)
        self._has_ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if not self._has_ended:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        os.close(self._screen)

    def send(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._screen, keys)

    def press(self, key: bytes) -> float:
        """Press a key, and return how long it took until something was drawn."""
        self.wait_for_silence(QUIET_S / 10)
        pressed = time.perf_counter()
        self.send(key)
        self.read(LONGEST_S)
        return time.perf_counter() - pressed

    def wait_for(self, text: bytes) -> float:
        """Return when a text had been drawn."""
        seen = b""
        deadline = time.monotonic() + LONGEST_S
        while text not in STYLING.sub(b"", seen):
            assert time.monotonic() < deadline, f"{text!r} was never drawn"
            seen += self.read(1.0)
        return time.perf_counter()

    def wait_for_silence(self, quiet_s: float = QUIET_S) -> None:
        """Wait until nothing is drawn any more."""
        deadline = time.monotonic() + LONGEST_S
        while self.read(quiet_s):
            assert time.monotonic() < deadline, "it draws without end"

    def wait_for_end(self) -> float:
        """Return when the process had ended; what it still draws is read, or it could not end."""
        deadline = time.monotonic() + LONGEST_S
        while os.waitpid(self._process, os.WNOHANG) == (0, 0):
            assert time.monotonic() < deadline, "it did not end"
            self.read(0.001)
        self._has_ended = True
        return time.perf_counter()

    def memory_bytes(self) -> int:
        """Return how much memory the process holds."""
        pages = int(Path(f"/proc/{self._process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def read(self, wait_s: float) -> bytes:
        """Return what is drawn next; nothing where that is not within some time."""
        if not select.select([self._screen], [], [], wait_s)[0]:
            return b""
        try:
            return os.read(self._screen, 65_536)
        except OSError:  # the other end is closed
            return b""
