"""Make the workspace on this computer where there is none, and say in one JSON object what is here.

Sent as it is to `python3`, so it needs nothing but Python 3.8 and its standard library. What is
wanted comes on stdin as JSON; what cannot be done is one sentence on stderr.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

OUR_LINE = "# Written by RLmaster for the runs that other computers send here.\n"
"""The first line of a hosts.toml that may be replaced."""


def make(request: dict[str, Any]) -> dict[str, Any]:
    """Make the workspace where there is none, and return what is here."""
    workspace = with_home(request["workspace"]).resolve()
    try:
        workspace.mkdir(0o700, parents=True, exist_ok=True)
        for name in ("experiments", "runs", "runs/.snapshots"):
            (workspace / name).mkdir(exist_ok=True)
        write_hosts(workspace / "hosts.toml", request["hosts_toml"])
        try_to_write(workspace / "runs")
    except OSError as error:
        remedy = "" if error.errno == errno.ENOSPC else "; check who may write there"
        reason = error.strerror or error
        sys.exit(f"the workspace {workspace} cannot be used: {reason}{remedy}")
    return {
        "workspace": str(workspace),
        "computer": platform.node(),
        "machine": machine(),
        "python": find_python(request["python"]),
        "other_pythons": other_pythons(workspace),
        "has_tools": mark_as_used(workspace / request["tools"]),
        "is_yours": os.path.lexists(str(workspace / request["token"])),
        "has_your_locks": os.path.lexists(str(lock_folder() / request["lock"])),
    }


def with_home(text: str) -> Path:
    """Return a path with `~` and `~name` expanded."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        sys.exit(f"{text} names somebody who is not known there; correct it in hosts.toml")


def write_hosts(path: Path, text: str) -> None:
    """Write hosts.toml, unless a person has written it."""
    try:
        present = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        present = OUR_LINE
    wanted = OUR_LINE + text
    if present != wanted and present.startswith(OUR_LINE):
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
        part.write_text(wanted, encoding="utf-8")
        part.replace(path)


def try_to_write(folder: Path) -> None:
    """Raise an OSError where nothing can be written."""
    path = folder / f".{secrets.token_hex(4)}.tmp"
    try:
        path.write_bytes(bytes(4096))
    finally:
        if path.exists():
            path.unlink()


def find_python(named: str) -> str:
    """Return an interpreter's absolute path; nothing where there is none."""
    found = shutil.which(str(with_home(named)))  # which takes a path as it is
    return str(Path(found).absolute()) if found else ""


def other_pythons(workspace: Path) -> list[str]:
    """Return the interpreters of all environments that are here, the newest first."""
    folders = [path for path in (workspace / "environments").glob("[!.]*") if path.is_dir()]
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    pythons = [str(folder / "bin" / "python") for folder in folders]
    return [python for python in pythons if os.access(python, os.X_OK)]


def machine() -> str:
    """Return what tells this computer from all others, as `rlmaster.placement.machine` does."""
    try:
        identity = Path("/etc/machine-id").read_text(encoding="utf-8").strip()[:12]
    except OSError:
        identity = ""
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in platform.node()) or "computer"
    return f"{name}-{identity}" if identity else name


def lock_folder() -> Path:
    """Return where this account keeps its locks, as `rlmaster.run_lock.lock_folder` does."""
    base = Path(os.environ.get("RLMASTER_LOCKS") or "/tmp") / f"rlmaster-{os.getuid()}"
    try:
        return base / Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return base / "unknown-boot"


def mark_as_used(folder: Path) -> bool:
    """Tell whether a folder is here, and mark it as used now, which keeps `rlmaster gc` away."""
    try:
        os.utime(str(folder))
    except FileNotFoundError:
        return False
    except OSError:  # another account's
        return folder.is_dir()
    return True


if __name__ == "__main__":
    sys.stdout.write(json.dumps(make(json.load(sys.stdin.buffer))))
