"""Say in one JSON object what this computer has of what runs need, apart from what the probe says.

Sent to `python3` on a host with the workspace as its argument, so it needs nothing but Python 3.8
and its standard library. Nothing is changed; each part that fails says why.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import pwd
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM_S = 5.0
PUSH_MARK = b"# Written by `rlmaster hosts setup --push`"


def existing(path: Path) -> Path:
    """Return the folder, or the one nearest above it that there is."""
    return next(place for place in (path, *path.parents) if place.is_dir())


def file_system(path: Path) -> str:
    """Return the type of the file system that a path is on, empty where nobody says."""
    real = os.path.realpath(str(path))
    found, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        name = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), before.split()[4])
        inside = name == "/" or real == name or real.startswith(f"{name}/")
        if inside and len(name) >= len(found):
            found, kind = name, after.split()[0]
    return kind


def workspace(text: str) -> dict[str, Any]:
    """Look at the folder of runs, and try to write where it is or would be."""
    path = Path(text).expanduser().resolve()
    place = existing(path)
    answer = {"path": str(path), "problem": "", "file_system": ""}
    try:
        answer["file_system"] = file_system(place)
        with tempfile.TemporaryFile(dir=str(place)) as file:
            file.write(bytes(4096))
    except OSError as error:
        answer["problem"] = f"nothing can be written into {place} ({error.strerror})"
    return answer


def locks() -> dict[str, Any]:
    """Take a lock where workers will, in a folder that need not exist yet."""
    base = Path(os.environ.get("RLMASTER_LOCKS") or "/tmp")
    own = base / f"rlmaster-{os.getuid()}"
    answer = {"path": str(base), "problem": "", "file_system": file_system(base)}
    try:
        if own.exists() and own.stat().st_uid != os.getuid():
            answer["problem"] = f"{own} belongs to somebody else"
        with tempfile.TemporaryFile(dir=str(base)) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        answer["problem"] = f"no lock can be taken in {base} ({error.strerror})"
    return answer


def program(*command: str) -> dict[str, Any]:
    """Ask a program for its version."""
    found = shutil.which(command[0])
    if found is None:
        return {"version": "", "problem": f"there is no {command[0]}"}
    said, code = run(*command)
    lines = said.splitlines() or ["it says nothing"]
    return {"version": "" if code else lines[0], "problem": lines[0] if code else ""}


def run(*command: str) -> tuple[str, int]:
    """Return what a program says, and its exit code; one that hangs is ended."""
    pipe, nothing, stdout = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT
    try:
        done = subprocess.run(
            command, stdin=nothing, stdout=pipe, stderr=stdout, timeout=PROGRAM_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error), 1
    return done.stdout.decode(errors="replace"), done.returncode


def session() -> dict[str, Any]:
    """Say what systemd does with this account's processes at logout, as far as it can be told."""
    user = pwd.getpwuid(os.getuid()).pw_name
    names = ("KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers")
    said, code = run("loginctl", "show-session", *(f"--property={name}" for name in names))
    lines = said.splitlines() if code == 0 else []
    settings = {name: value for name, _, value in (line.partition("=") for line in lines)}
    only, spared = (settings.get(name, "").split() for name in names[1:])
    kills = settings.get(names[0]) == "yes" and user not in spared and (not only or user in only)
    return {
        "user": user,
        "in_scope": re.search(r"/session-[^/]+\.scope", control_groups()) is not None,
        "kills": kills if settings else None,
    }


def control_groups() -> str:
    """Return the control groups of this process."""
    return Path("/proc/self/cgroup").read_text(errors="replace")


def limits() -> dict[str, Any]:
    """Count this account's processes and threads, against how many it may have."""
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    used = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == os.getuid():
                used += len(os.listdir(str(folder / "task")))  # noqa: PTH208  names are enough
        except OSError:  # it has just ended
            continue
    unlimited = most == resource.RLIM_INFINITY or os.getuid() == 0
    return {"most_processes": None if unlimited else most, "processes": used}


def push() -> dict[str, Any]:
    """Say whether runs here push notices, and nothing of where to."""
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    base = base if base.is_absolute() else Path.home() / ".config"
    path = Path(os.environ.get("RLMASTER_CONFIG") or base / "rlmaster" / "config.toml")
    content = path.read_bytes() if path.is_file() else b""
    return {
        "path": str(path),
        "ours": content.startswith(PUSH_MARK),
        "theirs": bool(content) and not content.startswith(PUSH_MARK),
    }


def main(folder: str) -> None:
    """Print the object."""
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "workspace": lambda: workspace(folder),
        "locks": locks,
        "tmux": lambda: program("tmux", "-V"),
        "compiler": lambda: program("g++", "--version"),
        "session": session,
        "limits": limits,
        "push": push,
    }
    clock_s = time.time()
    answer: dict[str, Any] = {
        "clock_s": clock_s,
        "python": platform.python_version(),
        "executable": sys.executable,
        "failed": {},
    }
    for name, part in parts.items():
        try:
            answer[name] = part()
        except Exception as error:  # whatever it is, the other parts are still worth having
            answer["failed"][name] = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
