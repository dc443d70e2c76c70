"""List the environments of a workspace that nobody needs any more, or remove some of them.

Sent to `python3` on a host with a JSON object as its argument: `workspace`, `keep` (names),
`older_than_s`, and `remove` (names). Needs nothing but Python 3.8 and its standard library. An
environment is needed by each run folder whose placement.json names it, and while it is being made.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any


def needed_names(workspace: Path) -> str:
    """Return all that placements of runs say, to look for names in."""
    found = workspace.glob("runs/*/*/placement.json")
    return "".join(path.read_text(errors="replace") for path in found)


def size_bytes(folder: Path) -> int:
    """Return how much room it gives back; what uv shares with its cache is not counted."""
    total = 0
    for place, _, names in os.walk(str(folder)):
        for name in names:
            found = Path(place, name).lstat()
            total += found.st_blocks * 512 if found.st_nlink == 1 else 0
    return total


def take_lock(environments: Path, name: str) -> int | None:
    """Take the lock of an environment; None where somebody makes it now."""
    handle = os.open(str(environments / f".{name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def old(environments: Path, task: dict[str, Any]) -> list[dict[str, Any]]:
    """Describe what nobody needs: old environments, and what was begun and never finished."""
    needed = needed_names(environments.parent)
    used = {os.path.realpath(str(link)) for link in environments.iterdir() if link.is_symlink()}
    rows: list[dict[str, Any]] = []
    for path in sorted(environments.iterdir()):
        parts = re.fullmatch(r"\.?([0-9a-f]{16})(\.[0-9a-f]+)?", path.name)
        age_s = time.time() - path.lstat().st_mtime
        if parts is None or age_s < task["older_than_s"]:
            continue
        is_whole = path.is_symlink() and parts[1] not in task["keep"] and parts[1] not in needed
        is_leftover = path.name.startswith(".") and str(path / "environment") not in used
        if is_whole or is_leftover:
            folder = Path(os.path.realpath(str(path))).parent if is_whole else path
            rows.append({"name": path.name, "bytes": size_bytes(folder), "age_s": age_s})
    return rows


def remove(environments: Path, name: str) -> bool:
    """Remove one, unless it is being made; the name goes first, so that nobody starts with it."""
    path = environments / name
    lock = take_lock(environments, name.strip(".").split(".")[0])
    if lock is None:
        return False
    folder = path
    if path.is_symlink():
        folder = Path(os.path.realpath(str(path))).parent
        path.unlink()
    if folder.parent == environments:
        shutil.rmtree(str(folder), ignore_errors=True)
    os.close(lock)
    return not folder.exists()


def main(task: dict[str, Any]) -> None:
    """Print what is old, and what of it was removed."""
    environments = Path(task["workspace"]).expanduser().resolve() / "environments"
    rows = old(environments, task) if environments.is_dir() else []
    for row in rows:
        row["removed"] = row["name"] in task["remove"] and remove(environments, row["name"])
    sys.stdout.write(json.dumps({"old": rows}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
