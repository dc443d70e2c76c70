import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from ended_runs import make_run
from small_disk import SmallDisk, small_disk

from rlmaster import trash
from rlmaster.durable_files import append_line, read_lines
from rlmaster.errors import ProjectError, RunFolderError
from rlmaster.run_folder import RunFolder, list_runs
from rlmaster.run_lock import RunLock
from rlmaster.run_status import FINAL_STATES, State, Status
from rlmaster.trash import (
    Trashed,
    delete,
    find_trashed,
    mend,
    remove_for_good,
    restore,
    trash_folder,
    trashed_runs,
)

pytestmark = pytest.mark.usefixtures("own_locks")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "rüns of all"


@pytest.fixture
def run(runs: Path) -> RunFolder:
    return make_run(runs)


def journal(runs: Path) -> list[tuple[str, str]]:
    """Return what is noted: what happened to which run."""
    lines, _ = read_lines(runs / ".state" / "deleted.jsonl")
    return [(line["kind"], line["run_id"]) for line in lines]


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# -------------------------------------------------------------------------- there and back again


def test_a_deleted_run_comes_back_as_it_was(run, runs):
    before = content(run.path)

    trashed = delete(run, size_bytes=123)

    assert not run.path.exists()
    assert list_runs(runs) == []
    assert (trashed.name, trashed.run_id, trashed.short_id) == ("pong", run.id, run.short_id)
    assert trashed.path.name.endswith(f"-{run.id}")
    assert trashed_runs(runs) == [trashed]

    assert restore(trashed).path == run.path
    assert content(run.path) == before
    assert trashed_runs(runs) == []
    assert journal(runs) == [("deleted", run.id), ("restored", run.id)]


def test_what_is_noted_says_what_lies_where(run, runs):
    trashed = delete(run, size_bytes=123)

    ((line,), _) = read_lines(runs / ".state" / "deleted.jsonl")
    time = line.pop("time")
    assert time.startswith(trashed.deleted.strftime("%Y-%m-%dT%H:%M:%S"))
    assert line == {
        "kind": "deleted",
        "run_id": run.id,
        "name": "pong",
        "trash": trashed.path.name,
        "bytes": 123,
    }


def test_a_run_goes_back_to_where_somebody_had_moved_it(run, runs):
    moved = RunFolder(runs / "pong by hand" / run.id)
    moved.path.parent.mkdir()
    run.path.rename(moved.path)

    assert restore(delete(moved)).path == moved.path


def test_a_run_comes_back_although_its_experiment_has_no_folder_any_more(run):
    trashed = delete(run)
    run.path.parent.rmdir()

    assert restore(trashed).exists()


def test_a_link_to_a_run_is_deleted_and_restored_as_a_link(run, runs, tmp_path):
    shutil.move(run.path, tmp_path / "elsewhere")
    run.path.symlink_to(tmp_path / "elsewhere")

    trashed = delete(run)
    assert trashed.path.is_symlink()
    restore(trashed)
    assert run.path.is_symlink()
    assert run.exists()
    remove_for_good(delete(run))
    assert RunFolder(tmp_path / "elsewhere").exists()


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("state", sorted(set(State) - FINAL_STATES))
def test_a_run_that_has_not_ended_stays(run, runs, state):
    run.write_status(Status(state))

    with pytest.raises(RunFolderError, match=rf"is {state}.*`rlmaster stop {run.short_id}`"):
        delete(run)
    assert run.exists()
    assert not trash_folder(runs).exists()


def test_a_run_whose_lock_is_held_stays(run, runs, monkeypatch):
    monkeypatch.setattr(trash, "PATIENCE_S", 0.0)
    with RunLock(run.id) as lock:
        assert lock.take()
        with pytest.raises(RunFolderError, match="somebody else works on run"):
            delete(run)
    assert run.exists()


def test_a_resume_that_comes_first_wins(run, monkeypatch):
    """Somebody resumes the run after it was looked at and before its lock was ours."""
    real = RunLock.take_within

    def take_after_a_resume(lock: RunLock, seconds: float) -> bool:
        run.write_status(Status(State.QUEUED, attempt=2))
        return real(lock, seconds)

    monkeypatch.setattr(RunLock, "take_within", take_after_a_resume)
    with pytest.raises(RunFolderError, match="is queued"):
        delete(run)
    assert run.exists()


def test_a_run_does_not_come_back_onto_something_else(run, runs):
    trashed = delete(run)
    run.path.mkdir()

    with pytest.raises(RunFolderError, match=r"exists, so run .* cannot come back"):
        restore(trashed)
    assert trashed_runs(runs) == [trashed]
    assert list(run.path.iterdir()) == []


def test_what_is_no_longer_there_is_said_to_be_gone(run):
    trashed = delete(run)
    with pytest.raises(RunFolderError, match="is gone from"):
        delete(run)
    remove_for_good(trashed)
    with pytest.raises(RunFolderError, match="no longer in the trash"):
        restore(trashed)
    assert not remove_for_good(trashed)


AT_ONCE = """
import sys
from pathlib import Path
from rlmaster.errors import RunFolderError
from rlmaster.run_folder import RunFolder
from rlmaster.trash import delete, find_trashed, restore
what, runs, name, run_id = sys.argv[1:]
run = RunFolder(Path(runs, name, run_id)) if what == "delete" else find_trashed(run_id, Path(runs))
print("ready", flush=True)
sys.stdin.readline()
try:
    delete(run) if what == "delete" else restore(run)
except RunFolderError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("what", ["delete", "restore"])
def test_of_several_at_once_one_wins_and_the_others_get_a_sentence(run, runs, what):
    if what == "restore":
        delete(run)
    command = [sys.executable, "-c", AT_ONCE, what, str(runs), run.name, run.id]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[1] for process in started]

    assert sorted(process.returncode for process in started) == [0, 1, 1]
    for sentence in filter(None, said):
        assert "somebody else" in sentence
        assert "Traceback" not in sentence
    assert journal(runs)[-1] == (f"{what}d", run.id)
    assert run.exists() == (what == "restore")


# --------------------------------------------------------------------------------- finding


def test_a_deleted_run_is_found_as_a_run_is(runs):
    first, second = (delete(make_run(runs, name)) for name in ("pong-ü", "breakout"))

    for text in (first.short_id, first.run_id, "pong-ü", f"pong-ü/{first.run_id[:8]}"):
        assert find_trashed(text, runs) == first
    assert find_trashed("last", runs) == second


def test_where_none_fits_or_several_do_a_sentence_says_so(runs):
    with pytest.raises(ProjectError, match=r"trash .* is empty"):
        find_trashed("pong", runs)
    first, second = (delete(make_run(runs)) for _ in range(2))
    with pytest.raises(ProjectError, match=f"no deleted run is called 'nobody'.*{second.short_id}"):
        find_trashed("nobody", runs)
    with pytest.raises(ProjectError, match=f"2 deleted runs.*{second.short_id}, {first.short_id}"):
        find_trashed("pong", runs)


def test_the_newest_deletion_is_meant_whatever_the_clock_said(run, runs, monkeypatch):
    class Clock(trash.datetime):
        hour = 12

        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 1, cls.hour, tzinfo=tz)

    monkeypatch.setattr(trash, "datetime", Clock)
    before = run.path.with_name("copy")
    shutil.copytree(run.path, before)
    delete(run)
    before.rename(run.path)
    Clock.hour = 11  # set back

    second = delete(run)

    assert find_trashed(run.id, runs) == second
    assert len(trashed_runs(runs)) == 2


def test_only_what_was_deleted_counts_as_that(run, runs):
    delete(run)
    for name in (
        "notes",
        "20260101-000000",
        "20260101-000000-..",
        ".removing-x",
        "99999999-000000-a",
    ):
        (trash_folder(runs) / name).mkdir()

    assert [trashed.run_id for trashed in trashed_runs(runs)] == [run.id]


def test_a_damaged_or_hostile_journal_leads_nowhere_else(run, runs):
    trashed = delete(run)
    stream = runs / ".state" / "deleted.jsonl"
    stream.write_text("garbage\n{}\n")
    for name in ("../../elsewhere", "a/../../b", "..", "", None, 3, {"a": 1}):
        append_line(stream, {"kind": "deleted", "trash": trashed.path.name, "name": name})
        mend(runs)
        (known,) = trashed_runs(runs)
        assert known.old_place.parent.parent == runs
    append_line(stream, {"kind": "deleted", "trash": "../../../etc", "name": "x"})
    mend(runs)
    assert len(trashed_runs(runs)) == 1


# ------------------------------------------------------------------------------- bad luck


class Killed(BaseException):
    """The process ends here."""


def cut_at_each_step(
    monkeypatch: pytest.MonkeyPatch, trouble: BaseException, act: Callable[[], Any]
) -> Iterator[int]:
    """Do something again and again, cut one change of the disk later each time.

    Yields after each cut, and ends once nothing was left to be cut.
    """
    steps_left = 0

    def cut(operation: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*arguments: Any, **options: Any) -> Any:
            nonlocal steps_left
            steps_left -= 1
            if steps_left < 0:
                raise trouble
            return operation(*arguments, **options)

        return maybe

    def cut_append(path: Path, *arguments: Any, **options: Any) -> None:
        with path.open("ab") as file:
            file.write(b'{"kind": "dele')
        cut(append_line)(path, *arguments, **options)

    changes = [*((Path, name) for name in ("rename", "mkdir", "unlink"))]
    changes += [(os, name) for name in ("fsync", "rmdir", "unlink")]
    for allowed in count():
        with monkeypatch.context() as patch:
            for owner, name in changes:
                patch.setattr(owner, name, cut(getattr(owner, name)))
            patch.setattr(trash, "append_line", cut_append)
            steps_left = allowed
            with suppress(Killed, RunFolderError, OSError):
                act()
            if steps_left >= 0:
                return
        yield allowed


@pytest.mark.parametrize("trouble", [Killed(), OSError(28, "No space left on device")])
def test_a_delete_that_is_cut_anywhere_loses_nothing(runs, monkeypatch, trouble):
    run = make_run(runs)
    before = content(run.path)
    where = set()
    for _step in cut_at_each_step(monkeypatch, trouble, lambda: delete(run)):
        mend(runs)  # as the next command does
        known = trashed_runs(runs)
        where.add(len(known))
        assert run.path.exists() != bool(known)
        for trashed in known:
            assert content(trashed.path) == before
            assert journal(runs)[-1] == ("deleted", run.id)
            assert restore(trashed).path == run.path
        assert content(run.path) == before
    assert where == {0, 1}  # cut before and after the move
    assert journal(runs)[-1] == ("deleted", run.id)


@pytest.mark.parametrize("trouble", [Killed(), OSError(28, "No space left on device")])
def test_a_restore_that_is_cut_anywhere_loses_nothing(runs, monkeypatch, trouble):
    run = make_run(runs)
    before = content(run.path)
    delete(run)
    where = set()
    for _step in cut_at_each_step(
        monkeypatch, trouble, lambda: restore(find_trashed(run.id, runs))
    ):
        mend(runs)
        where.add(run.path.exists())
        if run.path.exists():
            assert content(run.path) == before
            assert journal(runs)[-1] == ("restored", run.id)
            delete(run)
        (trashed,) = trashed_runs(runs)
        assert content(trashed.path) == before
    assert where == {False, True}
    assert content(run.path) == before


def test_a_removal_that_is_cut_anywhere_leaves_no_half_run_to_restore(runs, monkeypatch):
    whole = set(content(delete(make_run(runs)).path))
    where = set()
    for _step in cut_at_each_step(
        monkeypatch, Killed(), lambda: remove_for_good(find_trashed("last", runs))
    ):
        known = trashed_runs(runs)
        where.add(len(known))
        for trashed in known:
            assert set(content(trashed.path)) == whole
        if not known:
            delete(make_run(runs))
    assert where == {0, 1}


def test_a_disk_that_cannot_make_a_move_durable_does_not_make_it_a_failure(run, runs, monkeypatch):
    def fail(_folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(trash, "sync_folder", fail)
    trashed = delete(run)
    assert trashed_runs(runs) == [trashed]
    assert restore(trashed).exists()


def test_what_was_moved_by_hand_is_noted_once(run, runs):
    trashed = delete(run)
    trashed.path.rename(run.path)
    mend(runs)
    mend(runs)
    assert journal(runs) == [("deleted", run.id), ("restored", run.id)]


def test_what_somebody_moves_at_this_moment_is_left_for_him_to_note(run, runs):
    trashed = delete(run)
    (runs / ".state" / "deleted.jsonl").unlink()
    with RunLock(run.id) as lock:
        assert lock.take()
        mend(runs)
        assert journal(runs) == []
    mend(runs)
    assert journal(runs) == [("deleted", run.id)]
    assert trashed_runs(runs) == [trashed]


@pytest.fixture
def disk(runs: Path) -> Iterator[SmallDisk]:
    """A small disk, with the runs on it."""
    runs.mkdir()
    with small_disk(runs) as disk:
        yield disk


def test_on_a_full_disk_a_run_is_deleted_and_noted_later(disk, run, runs):
    trash_folder(runs).mkdir()
    (runs / ".state").mkdir()
    disk.fill()

    trashed = delete(run)

    assert trashed_runs(runs) == [trashed]
    assert journal(runs) == []
    assert remove_for_good(trashed)  # which makes room
    assert journal(runs) == [("removed", run.id)]
    assert list(trash_folder(runs).iterdir()) == []


def test_on_a_full_disk_a_run_comes_back_and_that_is_noted_later(disk, run, runs):
    trashed = delete(run)
    stream = runs / ".state" / "deleted.jsonl"
    with stream.open("a") as file:  # up to the end of its last page
        file.write("\n" * (-stream.stat().st_size % 4096))
    disk.fill()

    assert restore(trashed).exists()
    assert journal(runs) == [("deleted", run.id)]
    disk.free()
    mend(runs)
    assert journal(runs) == [("deleted", run.id), ("restored", run.id)]


def test_where_nothing_may_be_written_one_sentence_says_so(disk, run):
    disk.make_read_only()

    with pytest.raises(RunFolderError, match=r"cannot be moved to .* \(Read-only file system\)"):
        delete(run)
    assert run.exists()


def test_a_name_is_known_although_nobody_noted_it(run, runs):
    trashed = delete(run)
    (runs / ".state" / "deleted.jsonl").unlink()
    assert trashed_runs(runs) == [trashed]
    (trashed.path / "run.json").unlink()
    assert trashed_runs(runs) == [trashed]
    (trashed.path / "config.json").write_text("{")
    assert trashed_runs(runs) == [Trashed(trashed.path, "unnamed")]
