import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from waiting import wait_until

from rlmaster.errors import HostError
from rlmaster.run_lock import HostLock, RunLock, is_locked, lock_folder

pytestmark = pytest.mark.usefixtures("own_locks")

HOLDER = """
import subprocess, sys
from rlmaster.run_lock import RunLock
lock = RunLock("run")
assert lock.take()
child = subprocess.Popen(["sleep", "60"], pass_fds=[lock.handle])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def holder():
    """A process that holds the lock of `run`, and the id of its child that inherited it."""
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process, child
        process.kill()
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            return


def test_one_at_a_time():
    first, second = RunLock("run"), RunLock("run")

    assert first.take()
    assert not second.take()
    assert is_locked("run")
    assert not is_locked("another")
    first.close()
    assert second.take()
    second.close()
    assert not is_locked("run")


def test_asking_does_not_take():
    assert not is_locked("run")
    lock = RunLock("run")
    assert lock.take()
    lock.close()


def test_a_child_holds_the_lock_after_its_parent_died(holder):
    process, child = holder
    assert is_locked("run")

    process.kill()
    process.wait()
    assert is_locked("run")

    os.kill(child, signal.SIGKILL)
    wait_until(lambda: not is_locked("run"))


def test_a_program_that_was_not_handed_the_lock_does_not_hold_it():
    lock = RunLock("run")
    assert lock.take()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as other:
        lock.close()
        try:
            wait_until(lambda: not is_locked("run"))
        finally:
            other.kill()


def test_locks_of_another_boot_mean_nothing(monkeypatch):
    lock = RunLock("run")
    assert lock.take()
    monkeypatch.setattr("rlmaster.run_lock.boot_id", lambda: "another-boot")

    assert not is_locked("run")
    lock.close()


def test_the_folder_is_ours_alone(own_locks):
    folder = lock_folder()

    assert folder.parent.parent == own_locks
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_may_be_somebody_elses_is_refused(own_locks, tmp_path):
    (tmp_path / "theirs").mkdir()
    (own_locks / f"rlmaster-{os.getuid()}").symlink_to(tmp_path / "theirs")

    with pytest.raises(HostError, match="belongs to somebody else"):
        RunLock("run")
    assert list((tmp_path / "theirs").iterdir()) == []


def test_a_kept_file_looks_young():
    lock = RunLock("run")
    (file,) = lock_folder().iterdir()
    os.utime(file, (0, 0))

    assert lock.keep() is None

    assert time.time() - file.stat().st_mtime < 60
    lock.close()


def test_a_lock_whose_file_was_removed_is_held_anew():
    lock = RunLock("run")
    assert lock.take()
    shutil.rmtree(lock_folder())
    assert not is_locked("run")

    again = lock.keep()

    assert again is not None
    assert is_locked("run")
    assert lock.keep() is None  # ours already
    again.close()
    lock.close()


def test_a_lock_that_is_only_looked_for_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        HostLock(tmp_path / "none", make=False)
    assert not (tmp_path / "none").exists()
