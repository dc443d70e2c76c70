import json
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from ended_runs import age, make_run

from rlmaster import garbage
from rlmaster.garbage import Garbage, find_garbage
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import HostLock, RunLock, boot_id, lock_folder
from rlmaster.run_status import FINAL_STATES, State, Status
from rlmaster.snapshot import take_snapshot
from rlmaster.storage import Meter
from rlmaster.trash import REMOVING, delete, find_trashed, restore, trashed_runs

DAY_S = 86_400.0

pytestmark = pytest.mark.usefixtures("own_locks")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder for runs, with nothing in it."""
    folder = tmp_path / "rüns of all"
    folder.mkdir()
    return folder


def found(runs: Path, older_than_s: float = 30 * DAY_S) -> list[Garbage]:
    """Return what may go; everything must have been looked at."""
    said: list[str] = []
    items = find_garbage(runs, older_than_s, Meter(), said.append)
    assert said == []
    return items


def remove_all(runs: Path, older_than_s: float = 30 * DAY_S) -> list[str]:
    """Remove what may go, and return its kinds."""
    items = found(runs, older_than_s)
    for item in items:
        assert item.remove()
        assert not item.path.exists()
    return [item.kind for item in items]


def make_snapshot(runs: Path, digit: str, days: float = 2.0) -> Path:
    """Make a snapshot that was last used some days ago."""
    folder = runs / ".snapshots" / (digit * 64)
    (folder / "experiments").mkdir(parents=True)
    (folder / "experiments" / "code.py").write_text("x = 1\n")
    age(folder, days)
    return folder


def needs(snapshot: Path) -> dict[str, object]:
    return {
        "provenance": {"snapshot": {"digest": snapshot.name}},
        "digests": {"snapshot": snapshot.name},
    }


def test_where_there_is_nothing_nothing_may_go(runs, tmp_path):
    assert found(runs) == []
    assert found(tmp_path / "not there") == []


def test_what_a_live_project_is_made_of_stays(runs):
    snapshot = make_snapshot(runs, "a")
    run = make_run(runs, **needs(snapshot))
    (runs / ".state" / "announced" / run.id).mkdir(parents=True)
    (runs / ".state" / "followers").mkdir()
    (runs / ".state" / "followers" / f"{run.id}.lock").touch()
    (runs / ".state" / "deleted.jsonl").touch()
    (runs / ".index.sqlite").touch()
    (runs / "pong" / "20260101-000000-abcdef").mkdir()  # being made
    (runs / "by hand").mkdir()
    (runs / "by hand.tmp").touch()
    for path in sorted(runs.rglob("*")):
        if not path.is_relative_to(runs / "pong"):
            age(path, 100)

    assert found(runs) == []


# ------------------------------------------------------------------------------- shared frames


def share_frames(runs: Path, run: RunFolder, days: float = 2.0) -> Path:
    """Let a run share its frames, some days ago."""
    run.replay.mkdir()
    (run.replay / "chunk-000000.npz").write_bytes(os.urandom(100_000))
    entry = runs / ".frames" / ("f" * 64)
    entry.mkdir(parents=True)
    (entry / "chunk-000000.npz").hardlink_to(run.replay / "chunk-000000.npz")
    (entry / "collected_by.json").write_text("{}")
    age(entry, days)
    return entry


def test_shared_frames_go_with_the_last_run_that_has_them(runs):
    run = make_run(runs)
    entry = share_frames(runs, run)
    assert found(runs) == []
    delete(run)
    assert found(runs) == []  # it may be restored
    shutil.rmtree(runs / ".trash")
    (item,) = found(runs)
    assert (item.kind, item.path) == ("frames", entry)
    assert item.what == "frames ffffffffffff that no run has any more"
    assert item.size_bytes > 100_000
    assert remove_all(runs) == ["frames"]
    assert list((runs / ".frames").iterdir()) == []


def test_shared_frames_that_a_run_takes_meanwhile_stay(runs):
    run = make_run(runs)
    entry = share_frames(runs, run)
    shutil.rmtree(run.replay)
    (item,) = found(runs)
    run.replay.mkdir()
    (run.replay / "chunk-000000.npz").hardlink_to(entry / "chunk-000000.npz")
    assert not item.remove()
    assert len(list(entry.iterdir())) == 2


def test_shared_frames_that_are_young_stay(runs):
    run = make_run(runs)
    share_frames(runs, run, days=0.5)
    shutil.rmtree(run.replay)
    assert found(runs) == []


def test_a_sharing_that_was_cut_goes(runs):
    partial = runs / ".frames" / ".partial-x"
    partial.mkdir(parents=True)
    age(partial, 2)
    assert remove_all(runs) == ["leftover"]


# --------------------------------------------------------------------------------------- trash


def test_what_was_deleted_long_ago_goes(runs):
    old = delete(make_run(runs))
    new = delete(make_run(runs))
    then = old.path.with_name(f"20200101-120000-{old.run_id}")
    old.path.rename(then)

    (item,) = found(runs)
    assert (item.kind, item.path) == ("trash", then)
    assert item.what == f"run {old.short_id} of pong, deleted 2020-01-01"
    assert item.size_bytes > 100_000
    assert remove_all(runs) == ["trash"]
    assert trashed_runs(runs) == [new]
    assert remove_all(runs, 0) == ["trash"]
    assert list((runs / ".trash").iterdir()) == []


def test_what_is_restored_meanwhile_stays(runs):
    trashed = delete(make_run(runs))
    (item,) = found(runs, 0)
    run = restore(trashed)

    assert not item.remove()
    assert run.exists()


def test_what_is_being_restored_stays(runs):
    trashed = delete(make_run(runs))
    (item,) = found(runs, 0)
    with RunLock(trashed.run_id) as lock:
        assert lock.take()
        assert not item.remove()
    assert trashed.path.exists()


def test_no_link_is_followed_out_of_the_runs(runs, tmp_path):
    outside = tmp_path / "outside"
    run = make_run(outside, "precious")
    leftover = run.path / ".partial-x"
    leftover.mkdir()
    snapshot = make_snapshot(outside, "a")
    age(leftover, 3)
    (runs / "pong").symlink_to(run.path.parent)
    (runs / ".snapshots").symlink_to(snapshot.parent)
    (runs / "breakout").mkdir()
    (runs / "breakout" / run.id).symlink_to(run.path)
    (runs / ".state").mkdir()
    (runs / ".state" / "announced").symlink_to(outside)
    (runs / ".trash").symlink_to(outside)
    (make_run(runs, "atari").path / "link").symlink_to(run.path)
    trashed = outside / "20200101-000000-20200101-000000-abcdef"
    shutil.copytree(run.path, trashed)

    assert found(runs) == []


def test_a_state_that_lies_elsewhere_is_left_alone(runs, tmp_path):
    (tmp_path / "outside" / "announced" / "gone").mkdir(parents=True)
    (runs / ".state").symlink_to(tmp_path / "outside")

    assert found(runs) == []


def test_a_link_in_what_goes_is_removed_and_not_what_it_leads_to(runs, tmp_path):
    (tmp_path / "precious").write_text("mine")
    run = make_run(runs)
    (run.path / "file").symlink_to(tmp_path / "precious")
    (run.path / "folder").symlink_to(tmp_path)
    delete(run)

    assert remove_all(runs, 0) == ["trash"]
    assert (tmp_path / "precious").read_text() == "mine"


# ----------------------------------------------------------------------------------- snapshots


def test_a_snapshot_that_nobody_needs_goes_and_those_in_use_stay(runs):
    kept, of_deleted, of_prepared, of_torn, unused, young = (
        make_snapshot(runs, digit) for digit in "abcdef"
    )
    age(young, 0.9)
    make_run(runs, **needs(kept))
    delete(make_run(runs, **needs(of_deleted)))
    being_made = RunFolder.reserve(runs, "pong")  # no run yet: run.json comes last
    being_made.provenance_file.write_text(json.dumps(needs(of_prepared)["provenance"]))
    torn = make_run(runs, **needs(of_torn))
    torn.provenance_file.write_text("{")

    (item,) = found(runs)

    assert (item.kind, item.path) == ("snapshot", unused)
    assert item.what == "snapshot eeeeeeeeeeee of code that no run needs"
    assert remove_all(runs) == ["snapshot"]
    assert sorted(path.name[0] for path in unused.parent.iterdir()) == ["a", "b", "c", "d", "f"]


def test_runs_behind_a_link_need_their_snapshot_too(runs, tmp_path):
    snapshot = make_snapshot(runs, "a")
    run = make_run(tmp_path / "other disk", **needs(snapshot))
    (runs / "pong").symlink_to(run.path.parent)
    assert found(runs) == []


@pytest.mark.parametrize("trouble", ["damaged", "not mounted", "unreadable"])
def test_where_it_is_not_known_what_a_run_needs_its_snapshot_stays(runs, monkeypatch, trouble):
    make_snapshot(runs, "a")
    run = make_run(runs)
    delete(make_run(runs))
    if trouble == "damaged":
        run.provenance_file.write_text("{")
        run.run_file.write_text("{")
    elif trouble == "not mounted":
        (runs / "atlantis").symlink_to("/atlantis")
    else:
        real = Path.iterdir

        def iterdir(path: Path):
            if path.name == "pong":
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        monkeypatch.setattr(Path, "iterdir", iterdir)
    said: list[str] = []

    kinds = [item.kind for item in find_garbage(runs, 0, Meter(), said.append)]

    assert kinds == ["trash"]  # the rest goes on
    assert said[0].startswith("snapshots of code: not all could be looked at, and the rest stays: ")


def test_a_launch_that_takes_an_old_snapshot_keeps_it(project):
    """Whether it comes before garbage is looked for, before it is removed, or at that moment."""
    home = Project(project)
    snapshot = take_snapshot(home).folder
    age(snapshot, 10)
    (item,) = found(home.runs)

    assert take_snapshot(home).folder == snapshot
    assert found(home.runs) == []
    assert not item.remove()
    assert (snapshot / "experiments" / "tiny.py").exists()
    assert [path.name for path in snapshot.parent.iterdir()] == [snapshot.name]


def test_a_launch_that_comes_after_the_removal_has_begun_keeps_the_code_anew(project, monkeypatch):
    home = Project(project)
    snapshot = take_snapshot(home).folder
    age(snapshot, 10)
    (item,) = found(home.runs)
    real = garbage.remove_tree

    def launch_and_remove(path: Path) -> bool:
        take_snapshot(home)
        return real(path)

    monkeypatch.setattr(garbage, "remove_tree", launch_and_remove)

    assert item.remove()
    assert (snapshot / "experiments" / "tiny.py").exists()
    assert [path.name for path in snapshot.parent.iterdir()] == [snapshot.name]


# ----------------------------------------------------------------------------------- leftovers


LEFTOVERS = (
    "checkpoints/.partial-update-000000009",
    "previews/update-000000001.tmp",
    "tensorboard/images/.x.0123456789abcdef.tmp",
    "videos/.episode.partial",
    ".report-abc",
)


def leave_behind(run: RunFolder, days: float) -> None:
    for name in LEFTOVERS:
        (run.path / name).mkdir(parents=True)
        (run.path / name / "half").write_bytes(bytes(5_000))
        age(run.path / name, days)


def test_what_cut_writes_left_in_a_run_goes(runs):
    run = make_run(runs)
    leave_behind(run, 1.1)
    (run.path / "mine.partial").touch()
    age(run.path / "mine.partial", 9)

    assert {item.path for item in found(runs)} == {run.path / name for name in LEFTOVERS}
    assert remove_all(runs) == ["leftover"] * len(LEFTOVERS)
    assert (run.path / "mine.partial").exists()
    assert (run.checkpoints / "update-000000003" / "state.pt").exists()


def test_a_launch_that_was_cut_goes_and_one_under_way_stays(runs):
    cut, under_way, young = (RunFolder.reserve(runs, "pong") for _ in range(3))
    own = RunFolder(runs / "pong" / "my notes")
    own.path.mkdir()
    for run in (cut, under_way, own):
        (run.path / "config.json").write_text("{}")
        age(run.path, 2.0)
    with RunLock(under_way.id) as lock:
        assert lock.take()
        assert remove_all(runs) == ["leftover"]
    assert not cut.path.exists()
    assert all(run.path.exists() for run in (under_way, young, own))


def test_what_may_still_be_written_stays(runs):
    leave_behind(make_run(runs), 0.9)
    for state in set(State) - FINAL_STATES:
        leave_behind(make_run(runs, state=state), 9)
    locked = make_run(runs)
    leave_behind(locked, 9)
    with RunLock(locked.id) as lock:
        assert lock.take()
        assert found(runs) == []


def test_a_run_that_is_resumed_meanwhile_keeps_all(runs):
    run = make_run(runs)
    leave_behind(run, 9)
    items = found(runs)
    run.write_status(Status(State.QUEUED, attempt=2))

    assert not any(item.remove() for item in items)
    assert all((run.path / name).exists() for name in LEFTOVERS)


def test_what_cut_writes_and_removals_left_elsewhere_goes(runs):
    snapshots = runs / ".snapshots"
    for name, days in {".partial-old": 2, ".partial-young": 0.5, f"{REMOVING}aaa": 0}.items():
        (snapshots / name).mkdir(parents=True)
        age(snapshots / name, days)
    (runs / ".trash" / f"{REMOVING}20260101-000000-x").mkdir(parents=True)

    assert remove_all(runs) == ["leftover"] * 3
    assert [path.name for path in snapshots.iterdir()] == [".partial-young"]
    assert list((runs / ".trash").iterdir()) == []


def test_what_another_computer_has_not_finished_sending_goes_after_a_day(runs):
    names = [".snapshots/.incoming-a", "pong/.incoming-b", "pong/.superseded-c-1234"]
    for name in [*names, "pong/.incoming-going-on"]:
        (runs / name / "replay").mkdir(parents=True)
        (runs / name / "replay" / "chunk").touch()
        for path in ("replay/chunk", "replay", "."):
            age(runs / name / path, 2)
    age(runs / "pong" / ".incoming-going-on" / "replay" / "chunk", 0)

    items = found(runs)
    age(runs / "pong" / ".incoming-b" / "replay" / "chunk", 0)  # it goes on just now

    assert [item.remove() for item in items] == [True, False, True]
    left = sorted(path.name for path in (runs / "pong").iterdir())
    assert left == [".incoming-b", ".incoming-going-on"]


# --------------------------------------------------------------------------- traces and locks


def test_traces_of_runs_that_are_gone_go(runs):
    kept, deleted = make_run(runs), delete(make_run(runs))
    state = runs / ".state"
    for run_id in (kept.id, deleted.run_id, "gone", "followed"):
        (state / "announced" / run_id).mkdir(parents=True)
        (state / "announced" / run_id / "finished").touch()
        (state / "followers").mkdir(exist_ok=True)
        (state / "followers" / f"{run_id}.lock").touch()

    items = {(item.kind, item.path.name): item for item in found(runs)}
    assert set(items) == {
        *(("announcement", name) for name in ("gone", "followed")),
        *(("lock", f"{name}.lock") for name in ("gone", "followed")),
    }
    with HostLock(state / "followers" / "followed.lock") as lock:
        assert lock.take()
        assert not items["lock", "followed.lock"].remove()
    assert sorted(remove_all(runs)) == ["announcement", "announcement", "lock", "lock"]
    assert find_trashed("last", runs) == deleted
    assert {path.name for path in (state / "announced").iterdir()} == {kept.id, deleted.run_id}


def test_locks_from_before_a_restart_go(runs):
    with RunLock("run") as lock:
        folder = lock_folder()
        earlier, touched, named = (
            folder.with_name(name) for name in (str(uuid.uuid4()), str(uuid.uuid4()), "mine")
        )
        for path in (earlier, touched, named):
            (path / "slots").mkdir(parents=True)
            (path / "a.lock").touch()
            for inner in (path / "a.lock", path / "slots", path):
                age(inner, 3)
        for path in (lock.path, folder):
            age(path, 3)
        os.utime(touched / "a.lock")  # as a worker does at each heartbeat

        assert folder.name == boot_id()
        assert remove_all(runs) == ["lock"]
        assert not earlier.exists()
        assert {path.name for path in folder.parent.iterdir()} == {
            folder.name,
            touched.name,
            named.name,
        }
        assert lock.path.exists()


# ---------------------------------------------------------------------------------- bad luck


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("function", ["unlink", "rmdir"])
def test_a_removal_that_is_cut_anywhere_is_finished_by_the_next(runs, monkeypatch, function):
    """The n-th file goes and the next does not, for every n; what is needed is never touched."""
    needed = make_snapshot(runs, "a")
    kept = make_run(runs, **needs(needed))
    before = sorted(kept.path.rglob("*"))
    for allowed in range(100):
        make_snapshot(runs, "b")
        delete(make_run(runs))
        (runs / ".state" / "announced" / "gone" / "finished").mkdir(parents=True)
        left, real = allowed, getattr(os, function)

        def maybe(*arguments, real=real, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, function, maybe)
            with suppress(Killed):
                remove_all(runs, 0)
        remove_all(runs, 0)

        assert found(runs, 0) == []
        assert sorted(kept.path.rglob("*")) == before
        assert [path.name for path in needed.parent.iterdir()] == [needed.name]
        assert list((runs / ".trash").iterdir()) == []
        if left >= 0:
            break
    assert 3 < allowed < 99


def test_two_at_once_do_not_hinder_each_other(runs):
    make_snapshot(runs, "b")
    delete(make_run(runs))
    leave_behind(make_run(runs), 9)
    first, second = found(runs, 0), found(runs, 0)
    for item, same in zip(first, second, strict=True):
        assert item.remove()
        same.remove()
    assert found(runs, 0) == []
