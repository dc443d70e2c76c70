"""Locks on the host's local disk: of a run, of a slot, of the queue runner.

Each is a `flock` (never on NFS), which the kernel lets go when the last process that holds it is
gone, however it ended. Who holds the run lock may write a run's status, and nobody else starts that
run: the worker takes it and training inherits it, so it is free exactly when both are gone.
"""

import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rlmaster.errors import HostError

POLL_S = 0.02
FOLDER_VARIABLE = "RLMASTER_LOCKS"
"""Environment variable that names another folder on local disk than /tmp."""


def boot_id() -> str:
    """Return what tells this start of the machine from every other."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown-boot"


def lock_folder() -> Path:
    """Return this account's folder for locks, on local disk and gone in meaning after a reboot.

    It does not depend on TMPDIR, which may differ between two terminals of one person.

    Raises:
        HostError: If somebody else owns a folder of that name.
    """
    base = Path(os.environ.get(FOLDER_VARIABLE) or "/tmp") / f"rlmaster-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise HostError(
            f"{base} belongs to somebody else; remove it, or set {FOLDER_VARIABLE} to a folder "
            "of yours"
        )
    folder = base / boot_id()
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class HostLock:
    """A lock that processes of this computer see; its descriptor can be handed to a child."""

    def __init__(self, path: Path, *, make: bool = True) -> None:
        """Open the lock's file; nothing is locked yet.

        Args:
            path: The file.
            make: Whether it is made where there is none; else that is a FileNotFoundError.
        """
        self.path = path
        self.handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT * make), 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def take(self) -> bool:
        """Take the lock and tell whether it was free; never waits."""
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def take_within(self, seconds: float) -> bool:
        """Take the lock and tell whether it became free in time; who asks has it for a moment."""
        deadline = time.monotonic() + seconds
        while not (taken := self.take()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return taken

    def keep(self) -> "HostLock | None":
        """Keep cleaners of old temporary files away; where one came all the same, lock anew.

        Returns:
            A second lock on a file of the old name, if that was removed and nobody else has it.
        """
        try:
            if os.path.samestat(self.path.stat(), os.fstat(self.handle)):
                os.utime(self.path)
                return None
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        again = HostLock(self.path)
        if again.take():
            return again
        again.close()
        return None

    def close(self) -> None:
        """Let go of our descriptor; the lock stays while a child still has its own."""
        os.close(self.handle)


class RunLock(HostLock):
    """The lock of one run."""

    def __init__(self, run_id: str, path: Path | None = None) -> None:
        """Open the lock's file; nothing is locked yet.

        Args:
            run_id: Whose lock.
            path: Where a worker said that it is; by default where ours would be.
        """
        super().__init__(path or lock_folder() / f"{run_id}.lock")


class SlotLock(HostLock):
    """The lock of a place to compute, which holds the name of the run that computes there."""

    def __init__(self, slot: str) -> None:
        """Open the lock's file; nothing is locked yet."""
        super().__init__(_slot_folder() / slot)

    def name_holder(self, run_folder: Path) -> None:
        """Say which run has the slot, for people who look; the lock must be ours."""
        with suppress(OSError):  # on a full disk nobody is told
            os.ftruncate(self.handle, 0)
            os.pwrite(self.handle, os.fsencode(run_folder), 0)

    def holder(self) -> Path | None:
        """Return the run that has the slot, or None where it is free or nobody has said."""
        if self.take():
            fcntl.flock(self.handle, fcntl.LOCK_UN)
            return None
        name = os.fsdecode(os.pread(self.handle, 4096, 0))
        return Path(name) if name else None


def _slot_folder() -> Path:
    folder = lock_folder() / "slots"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def held_slots() -> list[str]:
    """Return the slots that are taken, among those asked for since the computer started."""
    return sorted(p.name for p in _slot_folder().iterdir() if not is_free(SlotLock(p.name)))


class QueueRunnerLock(HostLock):
    """The lock of the one process that starts the waiting runs of a queue."""

    def __init__(self, name: str) -> None:
        """Open the lock's file; nothing is locked yet.

        Args:
            name: What tells the queue from others of this account.
        """
        super().__init__(lock_folder() / name)


def is_free(lock: HostLock) -> bool:
    """Tell whether nobody holds a lock, and close it."""
    with lock:
        return lock.take()


def is_locked(run_id: str, path: Path | None = None) -> bool:
    """Tell whether a worker or its training lives on this machine."""
    return not is_free(RunLock(run_id, path))
