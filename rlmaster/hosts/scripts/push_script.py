"""Keep where notices are pushed to on this computer, or forget it again.

Sent to `python3` on a host as `write` or `remove`; what is to be written comes on stdin, and is in
no argument, answer or message, since its addresses are as good as passwords. Needs nothing but
Python 3.8 and its standard library. A file that a person wrote is left alone.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path

MARK = b"# Written by `rlmaster hosts setup --push`"
"""How a file of ours begins."""


def config_path() -> Path:
    """Return where RLmaster looks for it."""
    chosen = os.environ.get("RLMASTER_CONFIG")
    if chosen:
        return Path(chosen)
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():
        base = Path.home() / ".config"
    return base / "rlmaster" / "config.toml"


def is_ours(path: Path) -> bool:
    """Tell whether a file may be replaced or removed."""
    try:
        return path.read_bytes().startswith(MARK)
    except FileNotFoundError:
        return True


def write(path: Path, content: bytes) -> None:
    """Replace the file as a whole; from its first byte on nobody else may read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    handle = os.open(str(beside), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink()
        raise


def main(action: str) -> str:
    """Do it, and say how it stands now."""
    path = config_path()
    try:
        if not is_ours(path):
            return "somebody else's"
        if action == "write":
            write(path, sys.stdin.buffer.read())
            return "written"
        existed = path.exists()
        if existed:
            path.unlink()
    except OSError as error:
        return error.strerror or "failed"
    return "removed" if existed else "was not there"


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"state": main(sys.argv[1]), "path": str(config_path())}))
