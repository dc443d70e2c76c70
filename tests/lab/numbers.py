"""Numbers of labs: each is held by one process, and free when that has ended, however it ended."""

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOCKS = Path("/run/lock/rlmaster-lab")
MOST_LABS = 256


def take_number(remove_leftovers: Callable[[int], None]) -> tuple[int, int]:
    """Take the first number that nobody holds; what labs left that were killed is removed.

    Args:
        remove_leftovers: Removes what there is of the lab of a number.

    Returns:
        The number, and the descriptor that holds it: closed, it is free again.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    for number in sorted(int(path.name) for path in LOCKS.iterdir()):
        with suppress(BlockingIOError):
            lock = _lock(number)
            remove_leftovers(number)
            os.close(lock)
    for number in range(MOST_LABS):
        with suppress(BlockingIOError):
            return number, _lock(number)
    raise RuntimeError(f"{MOST_LABS} labs are in use; end some")


def _lock(number: int) -> int:
    """Lock a number.

    Raises:
        BlockingIOError: If somebody holds it.
    """
    lock = os.open(LOCKS / str(number), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    return lock
