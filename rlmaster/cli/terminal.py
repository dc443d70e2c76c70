"""What commands say to people and to programs: sentences on stderr, answers on stdout."""

import getpass
import json
import re
import select
import shutil
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

_ONE_QUESTION = threading.Lock()
INTERRUPTED = 130
"""Exit code after a Ctrl-C, as shells have it."""
_CONTROL = re.compile(
    r"\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # a command to the terminal, such as a title
    r"|\x1b\[[0-9;?]*[ -/]*[@-~]"  # a control sequence, such as a colour
    r"|\x1b."
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u202a-\u202e\u2066-\u2069]"  # what turns the direction of the text that follows
)
"""Escape sequences and control characters other than newline and tab."""
_PATH = re.compile(r"""(?:^|[\s"'`(])(?:~|\.{1,2})?/\S""")
"""The beginning of a path, which may have spaces further on."""


def plain(text: str) -> str:
    """Return text that can only be read: it moves no cursor and turns no other text around."""
    return _CONTROL.sub("", text)


def say(text: str) -> None:
    """Tell a person something, between words where a terminal's line ends; stdout stays free."""
    text = plain(text)
    if sys.stderr.isatty():
        text = between_words(text, shutil.get_terminal_size().columns)
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def between_words(text: str, width: int) -> str:
    """Break lines between words; one that holds a path stays whole, so that it can be copied."""
    wrapper = textwrap.TextWrapper(
        width, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
    return "\n".join(
        line if _PATH.search(line) else wrapper.fill(line) for line in text.split("\n")
    )


def answer(text: str) -> None:
    """Write an answer that was asked for."""
    sys.stdout.write(plain(text) + "\n")
    sys.stdout.flush()


def answer_json(data: Mapping[str, Any]) -> None:
    """Write one JSON object as the whole of stdout."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def nobody_reads() -> bool:
    """Tell whether whoever read the answers, over a pipe or in a terminal, is gone."""
    waiter = select.poll()
    try:
        waiter.register(sys.stdout.fileno(), 0)
        return any(found & (select.POLLERR | select.POLLHUP) for _, found in waiter.poll(0))
    except (OSError, ValueError):  # a stdout that is no file
        return False


def is_interactive() -> bool:
    """Tell whether somebody is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, default: str) -> str:
    """Return what a person types, or the default; a Ctrl-C ends the command with nothing done."""
    try:
        answered: str = typer.prompt(question, default, show_default=bool(default), err=True)
    except typer.Abort:
        raise _nothing_done() from None
    return answered


def ask_passphrase(key: str) -> str | None:
    """Return the passphrase of a key file as a person types it, unseen; None where none is given.

    One question at a time, whichever threads ask. A Ctrl-C reaches the main thread alone.
    """
    with _ONE_QUESTION:
        try:
            # Asks once the echo is off, so that nothing that is typed at once is lost.
            question = f"Passphrase of {plain(key)} (Enter alone to go on without): "
            return getpass.getpass(question) or None
        except (KeyboardInterrupt, EOFError):
            raise _nothing_done() from None


def asking_person() -> "Callable[[str], str | None] | None":
    """Return what asks for the passphrase of a key file, or None where nobody is there."""
    return ask_passphrase if is_interactive() else None


def confirm(question: str) -> bool:
    """Return whether a person says yes; Enter alone is no, a Ctrl-C ends the command."""
    try:
        return typer.confirm(question, default=False, err=True)
    except typer.Abort:
        raise _nothing_done() from None


@contextmanager
def interrupts_held() -> Generator[None]:
    """Let a Ctrl-C or a closed window count once this is done, where something is imported.

    Python makes another error of a KeyboardInterrupt in the middle of a class that an import
    defines, or ends the whole process by the signal although somebody caught it.
    """
    held = {signal.SIGINT, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _nothing_done() -> typer.Exit:
    say("\ninterrupted; nothing was done")
    return typer.Exit(INTERRUPTED)
