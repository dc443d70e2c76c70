"""`python killed_command.py MOMENT COUNT ARGUMENTS...`: run `rlmaster ARGUMENTS` up to a moment.

The process kills itself as it enters a function, `module:name`, for the COUNTth time: it has no
chance to do anything after, as if that came from outside.
"""

import importlib
import os
import signal
import sys
from functools import wraps
from pathlib import Path
from typing import Any


def kill_at(moment: str, count: int) -> None:
    """Kill this process when `module:name` is entered for the so manyth time."""
    module, _, name = moment.partition(":")
    *owners, attribute = name.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    function = getattr(owner, attribute)
    left = count

    @wraps(function)
    def cut(*arguments: Any, **keywords: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **keywords)

    setattr(owner, attribute, cut)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    kill_at(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["rlmaster", *sys.argv[3:]]
    from rlmaster.__main__ import main

    main()
