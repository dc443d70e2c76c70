"""Children that change something: they are waited for, and go on by themselves if nobody does."""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO

from tui.children.commands import (
    POLL_S,
    CommandCancelledError,
    CommandError,
    CommandLine,
    JsonObject,
    parse_answer,
)
from tui.words.plain_text import log_line

LAST_LINES = 20


class Deed:
    """A command that changes something, under way from the moment that this is made.

    It writes into memory, not pipes: it never minds whether somebody listens, nor a full disk.
    """

    def __init__(self, command: CommandLine, arguments: Sequence[str]) -> None:
        """Start it.

        Args:
            command: How to run the command line.
            arguments: What comes after `rlmaster`.

        Raises:
            CommandError: If it cannot be started.
        """
        self._name = arguments[0]
        self._answered = self._said = b""
        self._code: int | None = None
        with ExitStack() as files:
            answered, said = (files.enter_context(_memory()) for _ in range(2))
            process = command.start(arguments, answered, said)
            kept = files.pop_all()

        def await_end() -> None:
            with kept:
                code = process.wait()
                self._answered, self._said = _read(answered), _read(said)
            self._code = code

        threading.Thread(target=await_end, daemon=True).start()

    def answer(self, cancelled: threading.Event, deadline_s: float) -> JsonObject:
        """Wait for its JSON answer, in the calling thread.

        Args:
            cancelled: Ends the waiting, not the command.
            deadline_s: When it is waited for no longer.

        Raises:
            CommandError: If it fails, takes too long, or does not answer with a JSON object.
            CommandCancelledError: If nobody waits for it any more.
        """
        deadline = time.monotonic() + deadline_s
        while self._code is None:
            if cancelled.wait(POLL_S):
                raise CommandCancelledError
            if time.monotonic() > deadline:
                raise CommandError(
                    f"`rlmaster {self._name}` has not answered yet; it goes on by itself"
                )
        if self._code != 0:
            failed = f"`rlmaster {self._name}` ended with exit code {self._code}"
            raise CommandError(_last_words(self._said) or failed)
        return parse_answer(self._answered, self._name)


def _memory() -> IO[bytes]:
    return os.fdopen(os.memfd_create("said"), "w+b")


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _last_words(said: bytes) -> str:
    lines = said.decode(errors="replace").splitlines()
    return "\n".join([shown for line in lines if (shown := log_line(line).strip())][-LAST_LINES:])
