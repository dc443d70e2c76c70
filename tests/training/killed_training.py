"""`python killed_training.py RUN [MOMENT COUNT SIGNAL]`: train a run for real, up to a moment.

The process sends itself a signal as it enters a function for the COUNTth time; SIGKILL leaves it
no chance to do anything after, as if it came from outside. Replays have small chunks here, so that
a tiny run seals several.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from rlmaster.replay import chunk_files

chunk_files.FRAMES_PER_CHUNK = 512


def signal_at(moment: str, count: int, number: signal.Signals) -> None:
    """Send this process a signal when `module:name` is entered for the so manyth time."""
    module, _, name = moment.partition(":")
    *owners, attribute = name.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    function: Callable[..., Any] = getattr(owner, attribute)
    entered = 0

    @wraps(function)
    def cut(*arguments: Any, **keywords: Any) -> Any:
        nonlocal entered
        entered += 1
        if entered == count:
            os.kill(os.getpid(), number)
        return function(*arguments, **keywords)

    setattr(owner, attribute, cut)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        signal_at(sys.argv[2], int(sys.argv[3]), signal.Signals[sys.argv[4]])
    sys.exit(importlib.import_module("rlmaster.training.__main__").main(Path(sys.argv[1])))
