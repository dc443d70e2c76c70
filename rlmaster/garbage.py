"""What of `runs/` nobody needs any more, and how it is removed without harm to what is in use.

Nothing is removed that a link leads to, and whatever may have come into use since it was found is
looked at again at the last moment.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

from rlmaster.durable_files import JsonObject, read_json
from rlmaster.errors import RlmasterError, RunFolderError
from rlmaster.run_folder import ID_CHARACTERS, RunFolder
from rlmaster.run_lock import HostLock, RunLock, boot_id, lock_folder
from rlmaster.run_status import FINAL_STATES
from rlmaster.storage import (
    Meter,
    entries_in,
    folders_in,
    own_run_folders,
    shared_frames_folder,
    snapshot_folders,
    snapshots_folder,
)
from rlmaster.trash import REMOVING, remove_for_good, remove_tree, trash_folder, trashed_runs

DAY_S = 86_400.0
"""What is younger may be in somebody's hands."""
LEFT_BEHIND = re.compile(r"\.partial-.*|\.report-.*|\..*\.partial|.*\.tmp")
"""Names that writing something gives to what is not yet whole."""
SENT_HERE = (".incoming-", ".superseded-")
"""How the names begin of folders that another computer was sending, and of what they replaced."""
HALF_LAUNCH = re.compile(rf"\d{{8}}-\d{{6}}-[{ID_CHARACTERS}]{{6}}")
"""How a launch names a folder; of another name it is somebody's own."""


@dataclass(frozen=True)
class Garbage:
    """Something that nobody needs any more."""

    kind: str
    """`trash`, `snapshot`, `frames`, `leftover`, `announcement` or `lock`."""
    path: Path
    size_bytes: int
    what: str
    """What it is and why it may go, in a few words."""
    remove: Callable[[], bool]
    """Removes it, unless it has come into use since; tells whether it did."""


def find_garbage(
    runs: Path, older_than_s: float, meter: Meter, say: Callable[[str], None]
) -> list[Garbage]:
    """Return what nobody needs any more.

    Args:
        runs: Where the project keeps its runs.
        older_than_s: How long a run has been in the trash before it goes.
        meter: Measures it.
        say: Told what stays because nobody knows whether it is needed, and why.
    """
    runs = runs.resolve()
    finders = {
        "what a cut removal left": _cut_removals(runs, meter),
        "deleted runs": _old_trash(runs, older_than_s, meter),
        "snapshots of code": _unused_snapshots(runs, meter),
        "shared frames": _unused_frames(runs, meter),
        "what cut writes left": _leftovers(runs, meter),
        "what cut launches left": _half_launches(runs, meter),
        "what other computers sent": _sent_here(runs, meter),
        "announcements and followers": _traces_of_nobody(runs, meter),
        "locks of earlier starts": _earlier_locks(meter),
    }
    found: list[Garbage] = []
    for what, finder in finders.items():
        try:
            found += finder
        except (RlmasterError, OSError) as error:
            say(f"{what}: not all could be looked at, and the rest stays: {error}")
    return found


def _cut_removals(runs: Path, meter: Meter) -> Iterator[Garbage]:
    for folder in (trash_folder(runs), snapshots_folder(runs), shared_frames_folder(runs)):
        for path in entries_in(folder):
            if path.name.startswith(REMOVING):
                yield _garbage("leftover", path, meter, "a removal that was cut")


def _old_trash(runs: Path, older_than_s: float, meter: Meter) -> Iterator[Garbage]:
    if trash_folder(runs).is_symlink():
        return
    for trashed in trashed_runs(runs):
        if (datetime.now(UTC) - trashed.deleted).total_seconds() >= older_than_s:
            what = f"run {trashed.short_id} of {trashed.name}, deleted {trashed.deleted:%Y-%m-%d}"
            remove = partial(remove_for_good, trashed)
            yield _garbage("trash", trashed.path, meter, what, remove)


def _unused_snapshots(runs: Path, meter: Meter) -> Iterator[Garbage]:
    """Find snapshots that no run needs.

    A launch takes a snapshot before there is a run that names it, and marks it as used. So ages are
    read first and the runs afterwards: whoever came between is too young or is among the runs.
    """
    old = [path for path in snapshot_folders(runs) if _is_old(path)]
    needed = _needed_snapshots(runs) if old else set[str]()
    for path in old:
        if path.name not in needed:
            what = f"snapshot {path.name[:12]} of code that no run needs"
            yield _garbage("snapshot", path, meter, what, partial(_remove_snapshot, path))


def _remove_snapshot(path: Path) -> bool:
    """Remove a snapshot, unless a launch marks it as used until the moment it is gone."""
    aside = path.with_name(f"{REMOVING}{path.name}")
    try:
        path.rename(aside)
    except FileNotFoundError:  # another `gc` was faster
        return False
    if not _is_old(aside) and not path.exists():
        aside.rename(path)
        return False
    remove_tree(aside)
    return True


def _unused_frames(runs: Path, meter: Meter) -> Iterator[Garbage]:
    """Find shared frames that no run has: none of their files has another name.

    A run that is just taking them links one file after another; they may go under its hands then,
    and it collects them itself.
    """
    for path in folders_in(shared_frames_folder(runs)):
        if _is_old(path) and not _is_linked(path):
            what = f"frames {path.name[:12]} that no run has any more"
            yield _garbage("frames", path, meter, what, partial(_remove_frames, path))
    for path in entries_in(shared_frames_folder(runs)):
        if path.name.startswith(".partial-") and _is_old(path):
            yield _garbage("leftover", path, meter, "the sharing of frames that was cut")


def _is_linked(folder: Path) -> bool:
    return any(file.stat().st_nlink > 1 for file in entries_in(folder))


def _remove_frames(path: Path) -> bool:
    """Remove shared frames, unless a run has taken them meanwhile."""
    aside = path.with_name(f"{REMOVING}{path.name}")
    try:
        path.rename(aside)
        if _is_linked(aside):
            aside.rename(path)
            return False
    except FileNotFoundError:  # another `gc` was faster
        return False
    remove_tree(aside)
    return True


def _needed_snapshots(runs: Path) -> set[str]:
    """Return the digests that any run names, deleted ones and those just being made included.

    Raises:
        RunFolderError: If a run cannot be asked.
    """
    trashed = [RunFolder(trashed.path) for trashed in trashed_runs(runs)]
    return {name for run in (*_known_runs(runs), *trashed) for name in _named_snapshots(run)}


def _known_runs(runs: Path) -> list[RunFolder]:
    """Return every folder that is, or may become, a run, wherever links lead.

    Raises:
        RunFolderError: If a link leads nowhere, so that nobody knows which runs are behind it.
    """
    experiments = _folders_reached(runs) if runs.exists() else []
    return [RunFolder(path) for folder in experiments for path in _folders_reached(folder)]


def _folders_reached(folder: Path) -> list[Path]:
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in inside:
        if path.is_symlink() and not path.exists():
            raise RunFolderError(
                f"{path} leads to {path.readlink()}, which is not there; mount that place, or "
                "remove the link"
            )
    return [path for path in inside if path.is_dir()]


def _named_snapshots(run: RunFolder) -> set[str]:
    provenance, about = read_json(run.provenance_file), read_json(run.run_file)
    if provenance is None and about is None and run.provenance_file.exists():
        raise RunFolderError(
            f"{run.provenance_file} is damaged, so it is not known which snapshot {run.path} "
            "needs; restore that file from a copy, or delete the run for good"
        )
    named = _inner(provenance, "snapshot").get("digest"), _inner(about, "digests").get("snapshot")
    return {str(digest) for digest in named if digest}


def _leftovers(runs: Path, meter: Meter) -> Iterator[Garbage]:
    """Find what was being written when somebody was killed, but not in a live run."""
    for run in own_run_folders(runs):
        for path in _left_behind(run.path):
            if _is_old(path) and _has_ended(run):
                what = f"a write into run {run.short_id} that was cut"
                yield _garbage("leftover", path, meter, what, partial(_remove_from, run, path))
    for path in entries_in(snapshots_folder(runs)):
        if path.name.startswith(".partial-") and _is_old(path):
            yield _garbage("leftover", path, meter, "a snapshot that was cut")


def _sent_here(runs: Path, meter: Meter) -> Iterator[Garbage]:
    """Find folders that another computer began to send, and did not go on with for a day."""
    for folder in (snapshots_folder(runs), *folders_in(runs)):
        for path in entries_in(folder):
            if path.name.startswith(SENT_HERE) and _is_all_old(path):
                what = "what another computer sent here, and has not finished or has replaced"
                yield _garbage("leftover", path, meter, what, partial(_remove_if_old, path))


def _is_all_old(folder: Path) -> bool:
    return all(map(_is_old, (folder, *folder.rglob("*"))))


def _remove_if_old(folder: Path) -> bool:
    if not _is_all_old(folder):  # it is being sent again
        return False
    remove_tree(folder)
    return True


def _half_launches(runs: Path, meter: Meter) -> Iterator[Garbage]:
    """Find folders of runs that were being made when somebody was killed."""
    for run in own_run_folders(runs):
        if HALF_LAUNCH.fullmatch(run.id) and _is_half_launch(run):
            what = f"a launch of {run.name} that was cut"
            yield _garbage("leftover", run.path, meter, what, partial(_remove_half_launch, run))


def _is_half_launch(run: RunFolder) -> bool:
    """Tell whether nobody has made a run of a folder for a day, nor is at it."""
    with RunLock(run.id) as lock:
        return not run.exists() and _is_old(run.path) and lock.take()


def _remove_half_launch(run: RunFolder) -> bool:
    with RunLock(run.id) as lock:
        if run.exists() or not _is_old(run.path) or not lock.take():
            return False
        remove_tree(run.path)
    return True


def _left_behind(folder: Path) -> Iterator[Path]:
    waiting = [str(folder)]
    while waiting:
        with suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if LEFT_BEHIND.fullmatch(entry.name):
                    yield Path(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _has_ended(run: RunFolder) -> bool:
    with RunLock(run.id) as lock:
        return lock.take() and run.status().state in FINAL_STATES


def _remove_from(run: RunFolder, path: Path) -> bool:
    """Remove something from a run, which nobody resumes meanwhile."""
    with RunLock(run.id) as lock:
        if not (lock.take() and run.status().state in FINAL_STATES and _is_old(path)):
            return False
        remove_tree(path)
    return True


def _traces_of_nobody(runs: Path, meter: Meter) -> Iterator[Garbage]:
    """Find what was announced of, and who followed, runs that are neither kept nor in the trash."""
    announced = folders_in(runs / ".state" / "announced")
    followers = entries_in(runs / ".state" / "followers")
    # Read last, so that a run which has just been made is among them.
    ids = {run.id for run in _known_runs(runs)}
    ids |= {trashed.run_id for trashed in trashed_runs(runs)}
    for path in announced:
        if path.name not in ids:
            yield _garbage("announcement", path, meter, f"what was told of run {path.name}")
    for path in followers:
        if path.suffix == ".lock" and path.stem not in ids:
            remove = partial(_remove_lock, path)
            yield _garbage("lock", path, meter, f"the follower of run {path.stem}", remove)


def _remove_lock(path: Path) -> bool:
    with HostLock(path) as lock:
        if lock.take():
            path.unlink(missing_ok=True)
            return True
    return False


def _earlier_locks(meter: Meter) -> Iterator[Garbage]:
    """Find the locks of earlier starts of this computer, which mean nothing any more.

    A worker touches its lock at each heartbeat, so those of a computer that shares this disk are
    young.
    """
    earlier = [path for path in folders_in(lock_folder().parent) if path.name != boot_id()]
    for path in earlier if _is_boot_id(boot_id()) else ():
        if _is_boot_id(path.name) and _is_all_old(path):
            yield _garbage("lock", path, meter, "locks from before this computer was restarted")


def _garbage(
    kind: str, path: Path, meter: Meter, what: str, remove: Callable[[], bool] | None = None
) -> Garbage:
    return Garbage(kind, path, meter.room_bytes(path), what, remove or partial(remove_tree, path))


def _is_old(path: Path) -> bool:
    """Tell whether nobody has written there for a day; nothing is old that is gone."""
    try:
        return time.time() - path.lstat().st_mtime > DAY_S
    except FileNotFoundError:
        return False


def _is_boot_id(name: str) -> bool:
    return re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name) is not None


def _inner(data: JsonObject | None, name: str) -> JsonObject:
    found = (data or {}).get(name)
    return cast("JsonObject", found) if isinstance(found, dict) else {}
