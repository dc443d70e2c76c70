"""The run lock: who holds it may write a run's status, and nobody else starts that run.

It is a `flock` on the host's local disk (never NFS) that the worker takes and training inherits, so
it is free exactly when both are gone, however they ended.
"""

import fcntl
import os
import stat
import tempfile
from pathlib import Path

from rlmaster.errors import HostError


def boot_id() -> str:
    """Return what tells this start of the machine from every other."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown-boot"


def lock_folder() -> Path:
    """Return this account's folder for locks, on local disk and gone in meaning after a reboot.

    Raises:
        HostError: If somebody else owns a folder of that name.
    """
    base = Path(tempfile.gettempdir()) / f"rlmaster-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise HostError(
            f"{base} belongs to somebody else; remove it or set TMPDIR to your own folder"
        )
    folder = base / boot_id()
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class RunLock:
    """The lock of one run; its file descriptor can be handed to a child process."""

    def __init__(self, run_id: str, path: Path | None = None) -> None:
        """Open the lock's file; nothing is locked yet.

        Args:
            run_id: Whose lock.
            path: Where a worker said that it is; by default where ours would be.
        """
        self.path = path or lock_folder() / f"{run_id}.lock"
        self.handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        """Take the lock and tell whether it was free; never waits."""
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def touch(self) -> None:
        """Keep cleaners of old temporary files away."""
        os.utime(self.path)

    def close(self) -> None:
        """Let go of our descriptor; the lock stays while a child still has its own."""
        os.close(self.handle)


def is_locked(run_id: str, path: Path | None = None) -> bool:
    """Tell whether a worker or its training lives on this machine."""
    lock = RunLock(run_id, path)
    try:
        return not lock.take()
    finally:
        lock.close()
