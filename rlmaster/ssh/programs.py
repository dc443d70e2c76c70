"""Programs of this computer that are asked something; one that hangs is killed."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from rlmaster.errors import HostError, SilenceError
from rlmaster.ssh.deadline import Deadline


def ask_program(program: Sequence[str], deadline: Deadline) -> str:
    """Return what a program printed.

    Raises:
        HostError: If it cannot be started, fails or does not end in time.
    """
    name = os.path.basename(program[0])  # noqa: PTH119  as it was written
    try:
        child = subprocess.Popen(
            program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise HostError(f"{program[0]} cannot be started: {error.strerror or error}") from error
    with child:
        try:
            stdout, stderr = child.communicate(timeout=deadline.left_s)
        except subprocess.TimeoutExpired as error:
            end_session(child)
            raise SilenceError(f"{name} did not answer in time ({deadline})") from error
    if child.returncode != 0:
        words = "; ".join(stderr.decode(errors="replace").split("\n")).strip("; ")
        raise HostError(f"{name} failed: {printable(words) or 'it did not say why'}")
    return stdout.decode(errors="replace")


def end_session(child: "subprocess.Popen[bytes]") -> None:
    """Kill a program that leads a session, and whatever it started in it."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def printable(text: str) -> str:
    """Return text that cannot move a cursor or fill a screen."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:300])
