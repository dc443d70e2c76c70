"""What the learning side does for a command, in a process of its own that says how it goes."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from rlmaster.cli.terminal import INTERRUPTED, say

if TYPE_CHECKING:
    from rlmaster.follower import Update
    from rlmaster.run_folder import RunFolder

LAST_CHANCE_S = 10.0
"""How long an interrupted child may take to remove what it has half made."""


def answer_of_child(
    run: "RunFolder", module: str, options: list[str], *, interrupted: str
) -> dict[str, Any]:
    """Run a module of the learning side on a run, show how it goes, and return what it answered.

    Args:
        run: What it is about; its folder is the first argument.
        module: Dotted name of a module that answers as `rlmaster.training.answering` has it.
        options: The further arguments.
        interrupted: What is said after a Ctrl-C.

    Raises:
        Exit: If it fails, with its exit code, after what it said of that; or after a Ctrl-C.
    """
    from rlmaster.cli.progress import shown

    command = [sys.executable, "-m", module, str(run.path), *options]
    say(f"{run.name} {run.short_id}: opening its networks")
    # A group of its own, so that Ctrl-C reaches it once, from here, and it can tidy up.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            process_group=0,
        ) as child,
    ):
        assert child.stdout is not None
        made = None
        try:
            with shown(run, quiet=False) as show:
                for line in _lines(child.stdout):
                    made = line.get("answer", made)
                    if made is None:
                        show(_update(run, line))
            code = child.wait()
        except KeyboardInterrupt:
            _interrupt(child)
            say(interrupted)
            raise typer.Exit(INTERRUPTED) from None
        if made is None or code:
            said.seek(0)
            say(said.read().decode(errors="replace").rstrip() or f"it ended with exit code {code}")
            raise typer.Exit(code if code > 0 else 1)
        return made


def _lines(stream: Iterable[str]) -> Iterable[dict[str, Any]]:
    return map(json.loads, stream)


def _update(run: "RunFolder", line: dict[str, Any]) -> "Update":
    """Return what the child says on the way as what a follower would see."""
    from rlmaster.events import event
    from rlmaster.follower import Update
    from rlmaster.run_folder import Progress

    events = [event("note", line["note"])] if "note" in line else []
    return Update(run.status(), Progress(**line.get("progress", {})), events)


def _interrupt(child: subprocess.Popen[str]) -> None:
    """Hand an interrupt on, and see the child go."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(LAST_CHANCE_S)
    except subprocess.TimeoutExpired:
        child.kill()
