"""Explorers: whoever makes excursions, in this process or, side by side, in processes of their own.

`python -m rlmaster.atari.explorers` is such a process. It reads what to do from its standard input
and answers on its standard output, both pickled, and ends when its input does, which is also when
whoever started it dies.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from rlmaster.atari.excursions import Explorer, Play
from rlmaster.errors import TrainingError


class ExplorerProcess:
    """An Explorer in another process: `ask` begins what it does, `answer` waits for it."""

    def __init__(self, play: Play) -> None:
        """Start the process; it loads the game meanwhile."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rlmaster.atari.explorers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._send(play)

    def ask(self, method: str, argument: Sequence[Any]) -> None:
        """Begin a method of the Explorer; `answer` must follow before the next."""
        self._send((method, argument))

    def answer(self) -> Any:
        """Wait for what the method returns.

        Raises:
            TrainingError: If the process has ended.
        """
        assert self._process.stdout is not None
        try:
            return pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError) as error:
            raise self._gone() from error

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdout.close()
        with suppress(BrokenPipeError):  # where it has ended before
            self._process.stdin.close()
        self._process.wait()

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._gone() from error

    def _gone(self) -> TrainingError:
        return TrainingError(
            f"a process that explores the game has ended (exit code {self._process.wait()}); see "
            "the run's output for why, and resume"
        )


class ExplorerHere:
    """An Explorer in this process, with what an ExplorerProcess offers."""

    def __init__(self, play: Play) -> None:
        """Load the game."""
        self._explorer = Explorer(play)
        self._answer: Any = None

    def ask(self, method: str, argument: Sequence[Any]) -> None:
        """Do it at once."""
        self._answer = getattr(self._explorer, method)(argument)

    def answer(self) -> Any:
        """Return what the method returned."""
        return self._answer

    def close(self) -> None:
        """Leave nothing behind."""


def main() -> None:
    """Answer what standard input asks, until it ends."""
    # Whoever stops the run tells the process that started this one, and that ends our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever else prints must not get between
        _serve(sys.stdin.buffer, answers)


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    try:
        explorer = Explorer(pickle.load(questions))
        while True:
            method, argument = pickle.load(questions)
            pickle.dump(getattr(explorer, method)(argument), answers)
            answers.flush()
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    main()
