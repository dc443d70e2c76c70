"""Showing files with the program that the desktop has for them, where there is a desktop."""

import os
import shutil
import subprocess
import sys
import threading
import time

PATIENCE_S = 3.0
"""How long an opener has to say that it cannot; one that shows something may never end."""
POLL_S = 0.05


def opener() -> str | None:
    """Return the program that opens files here; None where nobody would see them."""
    if sys.platform == "darwin":
        return shutil.which("open")
    has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    is_far = os.environ.get("SSH_CONNECTION")
    return shutil.which("xdg-open") if has_screen and not is_far else None


def open_it(what: str, cancelled: threading.Event) -> bool:
    """Show a file or a page, in the calling thread, and tell whether that worked.

    Args:
        what: A path or an address.
        cancelled: Ends the waiting, not what was opened.
    """
    program = opener()
    if program is None:
        return False
    try:
        process = subprocess.Popen(
            [program, what],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    threading.Thread(target=process.wait, daemon=True).start()
    deadline = time.monotonic() + PATIENCE_S
    while process.returncode is None and time.monotonic() < deadline:
        if cancelled.wait(POLL_S):
            break
    return not process.returncode
