"""Become another program, so that no shell ever reads its arguments.

Its one argument is JSON: `program`, the `folder` to be in, and the `environment` to add. What is a
path may begin with `~`.
"""

import json
import os
import sys
from pathlib import Path


def expanded(text: str) -> str:
    """Return a path with its `~` replaced; other text stays as it is."""
    return str(Path(text).expanduser()) if text.startswith("~") else text


def main() -> None:
    """Become the program; its stdin is what is left of ours."""
    sent = json.loads(sys.argv[1])
    program = [expanded(sent["program"][0]), *sent["program"][1:]]
    folder = expanded(sent["folder"])
    added = {name: expanded(text) for name, text in sent["environment"].items()}
    try:
        os.chdir(folder)
    except OSError as error:
        sys.exit(f"{folder}: {error.strerror}; `rlmaster hosts setup` makes it")
    try:
        os.execvpe(program[0], program, {**os.environ, **added})
    except OSError as error:
        sys.exit(f"{program[0]} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main()
