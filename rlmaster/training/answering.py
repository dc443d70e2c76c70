"""Work that a command of the control side has this side do, as a child that says how it goes.

On stdout it says one JSON object a line: `progress` and `note` on the way, `answer` last. What goes
wrong is a sentence on stderr, and an exit code.
"""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

from rlmaster.errors import RlmasterError
from rlmaster.run_folder import RunFolder
from rlmaster.training.stored_replay import OnProgress

OnNote = Callable[[str], None]
"""Told in a sentence what is done, and what is passed over."""
Work = Callable[[OnProgress, OnNote], dict[str, Any]]
"""What is done; it returns the answer, as JSON data."""

INTERRUPTED = 130


def answer_parent(run: RunFolder, work: Work) -> int:
    """Do some work on a run, tell the parent of it, and return the exit code."""
    stdout = sys.stdout

    def tell(kind: str, value: Any) -> None:
        stdout.write(f"{json.dumps({kind: value})}\n")
        stdout.flush()

    def on_progress(phase: str, step: int, total: int, axis: str) -> None:
        tell("progress", {"phase": phase, "step": step, "total": total, "axis": axis})

    try:
        with redirect_stdout(sys.stderr):  # whatever the run's own code prints is no answer
            _import_from(run)
            answer = work(on_progress, lambda sentence: tell("note", sentence))
        tell("answer", answer)
    except RlmasterError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _import_from(run: RunFolder) -> None:
    """Let the run's own parts be found, before present files of the same name."""
    paths = [str(path) for path in run.code_paths()]
    sys.path[:0] = paths[1:]  # the script's folder
    sys.path += paths[:1]  # the snapshot, behind because it holds a package rlmaster too
