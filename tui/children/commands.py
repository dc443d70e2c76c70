"""Acting through the command line: `rlmaster ... --json` as a child that can always be cancelled.

The child leads its own process group, so that whatever it started ends with it.
"""

import codecs
import json
import math
import os
import select
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from rlmaster.durable_files import JsonObject, parse_object
from tui.words.plain_text import log_line, one_line

EXPERIMENTS_DEADLINE_S = 180.0
"""Scripts are read in a child each, and one that hangs is given up after a minute."""
HOSTS_DEADLINE_S = 30.0
LAUNCH_DEADLINE_S = 900.0
"""A launch may have to set up the environment on another computer."""
POLL_S = 0.05
"""How often a waiting thread looks whether it is still wanted."""
LONGEST_LINE_BYTES = 16 * 2**20
"""Of a command that answers line by line; what is longer is passed over."""
GRACE_S = 0.2
"""What an interrupted child has to end by itself; quitting may not take half a second."""
CODE = Path(__file__).resolve().parents[2]
"""Folder of the packages that the app is made of, which commands use too."""


class CommandError(Exception):
    """A command did not do what it was asked; the text says why, in the command's own sentences."""

    def __init__(self, sentence: str, answer: JsonObject | None = None) -> None:
        """Keep what it had done by then, where it said so."""
        super().__init__(sentence)
        self.answer = answer or {}

    @property
    def reason(self) -> str:
        """What it said last, which is why it failed, on one line."""
        return one_line(str(self).rpartition("\n")[2])


class CommandCancelledError(Exception):
    """The command was ended because nobody waits for it any more."""


def ignore(line: str) -> None:
    """Take no notice of a line that a command says."""


@dataclass(frozen=True)
class CommandLine:
    """How to run rlmaster's command line in a project."""

    project: Path
    """Root of the project, which is where commands run."""
    prefix: tuple[str, ...] = (sys.executable, "-P", "-m", "rlmaster")
    """Program and first arguments; no file of the project is taken for a module of its name."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables that commands get beside those of the app."""

    def start(
        self, arguments: Sequence[str], stdout: IO[bytes] | int, stderr: IO[bytes] | int
    ) -> "subprocess.Popen[bytes]":
        """Start a command that leads its own process group, out of reach of the app's terminal.

        Args:
            arguments: What comes after `rlmaster`.
            stdout: Where its answer goes.
            stderr: Where all else goes that it says.

        Raises:
            CommandError: If it cannot be started.
        """
        path = [str(CODE), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {"PYTHONPATH": os.pathsep.join(path), "RLMASTER_PROJECT": str(self.project)}
        try:
            return subprocess.Popen(
                [*self.prefix, *arguments],
                cwd=self.project,
                env={**os.environ, **self.environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(f"{self.prefix[0]} cannot be started ({error.strerror})") from error

    def run(
        self,
        arguments: Sequence[str],
        cancelled: threading.Event,
        deadline_s: float,
        on_message: Callable[[str], None] = ignore,
    ) -> JsonObject:
        """Run a command to its end, in the calling thread, and return its JSON answer.

        Args:
            arguments: What comes after `rlmaster`.
            cancelled: Ends the command as soon as it is set.
            deadline_s: When the command is ended whatever it does.
            on_message: Takes each line that the command says on stderr, as it comes.

        Raises:
            CommandError: If it fails, takes too long, or does not answer with a JSON object.
            CommandCancelledError: If it was cancelled.
        """
        messages: list[str] = []
        answer: list[bytes] = []

        def take(line: str) -> None:
            messages.append(line)
            on_message(line)

        with _Child(self, arguments) as child:
            child.listen(cancelled, time.monotonic() + deadline_s, answer.append, take)
            code = child.exit_code()
        if code != 0:
            said = "\n".join(messages[-20:])
            said = said or f"`rlmaster {arguments[0]}` ended with exit code {code}"
            raise CommandError(said, parse_object(b"".join(answer)))
        return parse_answer(b"".join(answer), arguments[0])

    def stream(
        self,
        arguments: Sequence[str],
        cancelled: threading.Event,
        on_object: Callable[[JsonObject], None],
    ) -> None:
        """Run a command that answers with a JSON object a line, until it ends or is cancelled.

        A cancelled one is interrupted and left to end by itself, since it may have work to hand on.

        Args:
            arguments: What comes after `rlmaster`.
            cancelled: Ends the command as soon as it is set.
            on_object: Takes each object, in the calling thread; what is none is passed over.

        Raises:
            CommandError: If it cannot be started, or ends with an error.
            CommandCancelledError: If it was cancelled.
        """
        messages: deque[str] = deque(maxlen=20)
        objects = _JsonLines(on_object)
        with _Child(self, arguments, is_left=True) as child:
            child.listen(cancelled, math.inf, objects.take, messages.append)
            code = child.exit_code()
        if code != 0:
            said = "\n".join(messages)
            raise CommandError(said or f"`rlmaster {arguments[0]}` ended with exit code {code}")


def parse_answer(answer: bytes, name: str) -> JsonObject:
    """Read what a command answered.

    Raises:
        CommandError: If it is no JSON object.
    """
    try:
        data = json.loads(answer)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise CommandError(f"`rlmaster {name} --json` did not answer with a JSON object")
    return cast("JsonObject", data)


class _Child:
    """A process with both outputs read as they come; leaving the context ends it."""

    def __init__(
        self, command: CommandLine, arguments: Sequence[str], *, is_left: bool = False
    ) -> None:
        self._is_left = is_left
        self._process = command.start(arguments, subprocess.PIPE, subprocess.PIPE)

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None and self._is_left:
            self._process.send_signal(signal.SIGINT)
            threading.Thread(target=self._process.wait, daemon=True).start()
        elif self._process.poll() is None:
            self._end_group()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _end_group(self) -> None:
        """Interrupt the child and all it started, then kill what is left of them."""
        exited = os.pidfd_open(self._process.pid)
        os.killpg(self._process.pid, signal.SIGINT)
        select.select([exited], [], [], GRACE_S)
        os.close(exited)
        # The child has not been waited for, so its number still means its group and no other.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def exit_code(self) -> int:
        """Return the exit code of a child that has ended."""
        return self._process.wait()

    def listen(
        self,
        cancelled: threading.Event,
        deadline: float,
        on_answer: Callable[[bytes], None],
        on_line: Callable[[str], None],
    ) -> None:
        """Pass on what the child writes to stdout, and each line of its stderr.

        The end is the child's own, not that of the pipes: a background process may hold those open.
        """
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        lines = _Lines(on_line)
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ, on_answer)
            selector.register(self._process.stderr, selectors.EVENT_READ, lines.take)
            ended = ready = False
            while ready or not ended:
                if cancelled.is_set():
                    raise CommandCancelledError
                if time.monotonic() > deadline:
                    raise CommandError("there was no answer in time, so the command was ended")
                ended = self._process.poll() is not None
                ready = _take_what_is_there(selector, 0 if ended else POLL_S)
        lines.finish()


def _take_what_is_there(selector: selectors.BaseSelector, wait_s: float) -> bool:
    """Hand on what has come in on each stream; tell whether anything did."""
    ready = selector.select(wait_s)
    for key, _ in ready:
        chunk = os.read(key.fd, 65_536)
        if chunk:
            key.data(chunk)
        else:
            selector.unregister(key.fileobj)
    return bool(ready)


class _JsonLines:
    """Cuts a stream of bytes into lines, each a JSON object."""

    def __init__(self, on_object: Callable[[JsonObject], None]) -> None:
        self._on_object = on_object
        self._rest = b""

    def take(self, chunk: bytes) -> None:
        """Take the next bytes."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        self._rest = self._rest if len(self._rest) <= LONGEST_LINE_BYTES else b""
        for line in whole:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                self._on_object(cast("JsonObject", found))


class _Lines:
    """Cuts a stream of bytes into lines that are safe to show."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def take(self, chunk: bytes) -> None:
        """Take the next bytes."""
        *whole, self._rest = (self._rest + self._decode(chunk)).split("\n")
        for line in whole:
            self._say(line)

    def finish(self) -> None:
        """Pass on a last line that has no end."""
        self._say(self._rest)
        self._rest = ""

    def _say(self, line: str) -> None:
        if text := log_line(line).strip():
            self._on_line(text)
