"""The trash: where deleted runs lie until they are restored, or `rlmaster gc` takes them away.

A run is deleted and restored by one rename, so it is always whole in one of the two places, and
where it lies is what counts. `runs/.state/deleted.jsonl` says what happened; a line that a crash or
a full disk kept from being written is written by the next command (`mend`). Whoever moves a run
holds its lock, so it is not resumed, deleted and restored at the same time.
"""

import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rlmaster.durable_files import (
    JsonObject,
    append_line,
    read_json,
    read_lines,
    sync_folder,
    utc_now,
)
from rlmaster.errors import ProjectError, RunFolderError
from rlmaster.run_folder import ID_TIME, RunFolder
from rlmaster.run_lock import RunLock
from rlmaster.run_status import FINAL_STATES

PATIENCE_S = 2.0
"""How long a run's lock is waited for, which others may hold for a moment to look."""
REMOVING = ".removing-"
"""Begins the name of what is being removed; where that was cut, `rlmaster gc` goes on."""
LENGTH_OF_TIME = len("20260131-235959")


@dataclass(frozen=True)
class Trashed:
    """A deleted run."""

    path: Path
    """Where it lies, by the name `<UTC time>-<run id>`."""
    name: str
    """The experiment's name, whose folder it comes back to."""

    @property
    def run_id(self) -> str:
        """The run's id, which it has again once it is restored."""
        return self.path.name[LENGTH_OF_TIME + 1 :]

    @property
    def short_id(self) -> str:
        """The six characters that name the run in conversation."""
        return self.run_id.rpartition("-")[2]

    @property
    def deleted(self) -> datetime:
        """When it was deleted."""
        return datetime.strptime(self.path.name[:LENGTH_OF_TIME], ID_TIME).replace(tzinfo=UTC)

    @property
    def old_place(self) -> Path:
        """Where it lay before."""
        return self.path.parent.parent / self.name / self.run_id


def trash_folder(runs: Path) -> Path:
    """Return where the deleted runs of a project lie."""
    return runs / ".trash"


def delete(run: RunFolder, size_bytes: int | None = None) -> Trashed:
    """Move a run that has ended to the trash.

    Args:
        run: The run; `look_after` it first, so that one whose worker died has ended.
        size_bytes: The room it takes, for the record.

    Raises:
        RunFolderError: If it has not ended, somebody else works on it or has just deleted it, or
            nothing can be moved there. Then nothing has changed.
    """
    runs = run.path.parent.parent
    refuse_unless_ended(run)
    with _held(run.id):
        refuse_unless_ended(run)
        moment = datetime.now(UTC).strftime(ID_TIME)
        trashed = Trashed(trash_folder(runs) / f"{moment}-{run.id}", run.name)
        try:
            trashed.path.parent.mkdir(exist_ok=True)
            _move(run.path, trashed.path)
        except OSError as error:
            raise RunFolderError(
                f"run {run.short_id} cannot be moved to {trashed.path.parent} "
                f"({error.strerror or error}); free some space (`rlmaster gc` lists what can go) "
                "or check who may write there"
            ) from error
        _note("deleted", trashed, size_bytes)
    return trashed


def refuse_unless_ended(run: RunFolder) -> None:
    """Refuse to delete a run that is gone, waits or is worked on.

    Raises:
        RunFolderError: If it is, with the command that ends it.
    """
    if not run.exists():
        raise RunFolderError(
            f"run {run.short_id} is gone from {run.path}: somebody else has deleted or moved it"
        )
    if (state := run.status().state) not in FINAL_STATES:
        raise RunFolderError(
            f"run {run.short_id} is {state}, and only a run that has ended can be deleted; "
            f"`rlmaster stop {run.short_id}` ends it"
        )


def restore(trashed: Trashed) -> RunFolder:
    """Move a deleted run back to its old place.

    Raises:
        RunFolderError: If something is there by now, the run is no longer in the trash, or nothing
            can be moved. Then nothing has changed.
    """
    place = trashed.old_place
    with _held(trashed.run_id):
        if not _exists(trashed.path):
            raise RunFolderError(
                f"run {trashed.short_id} is no longer in the trash: somebody else has restored it "
                "or taken it away"
            )
        if _exists(place):
            raise RunFolderError(
                f"{place} exists, so run {trashed.short_id} cannot come back; "
                "move that folder away first"
            )
        try:
            place.parent.mkdir(exist_ok=True)
            _move(trashed.path, place)
        except OSError as error:
            raise RunFolderError(
                f"run {trashed.short_id} cannot be moved back to {place} "
                f"({error.strerror or error}); free some space or check who may write there"
            ) from error
        _note("restored", trashed)
    return RunFolder(place)


def remove_for_good(trashed: Trashed) -> bool:
    """Remove a deleted run, and tell whether it was there and nobody restores it just now.

    It is renamed first, so that nobody restores the half of it.
    """
    aside = trashed.path.with_name(f"{REMOVING}{trashed.path.name}")
    with RunLock(trashed.run_id) as lock:
        if not lock.take() or not _exists(trashed.path):
            return False
        trashed.path.rename(aside)
    remove_tree(aside)
    _note("removed", trashed)
    return True


def remove_tree(path: Path) -> bool:
    """Remove a file, a link, or a folder with all that is in it; others may do so too."""
    while _exists(path):
        with suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    return True


def trashed_runs(runs: Path) -> list[Trashed]:
    """Return the deleted runs, the newest deletion first."""
    there = {path.name: path for path in _folders(runs)}
    noted = {line["trash"]: line for line in _notes(runs) if line["trash"] in there}
    order = [*noted, *(name for name in sorted(there) if name not in noted)]
    found = [Trashed(there[name], _name(there[name], noted.get(name))) for name in order]
    return found[::-1]


def find_trashed(text: str, runs: Path) -> Trashed:
    """Find a deleted run by `last`, its six characters, or a part of name and id that only it has.

    Of a run that was deleted several times, the newest deletion is meant.

    Raises:
        ProjectError: If no deleted run fits, or several do.
    """
    known = trashed_runs(runs)
    if not known:
        raise ProjectError(f"the trash of {runs} is empty; there is nothing to restore")
    if text == "last":
        return known[0]
    found = [run for run in known if text in (run.short_id, run.run_id)] or [
        run for run in known if text in f"{run.name}/{run.run_id}"
    ]
    if not found:
        raise ProjectError(
            f"no deleted run is called {text!r}; the last that was deleted is {known[0].short_id}"
        )
    ids = list(dict.fromkeys(run.short_id for run in found))
    if len(ids) > 1:
        raise ProjectError(
            f"{text!r} fits {len(ids)} deleted runs; name one of them: {', '.join(ids[:5])}"
        )
    return found[0]


def mend(runs: Path) -> None:
    """Note what was moved while its note could not be written; each command does so first.

    Where it still cannot, the next command tries again.
    """
    last = {line["trash"]: line for line in _notes(runs)}
    for path in _folders(runs):
        trashed = Trashed(path, _name(path))
        noted = last.get(path.name, {}).get("kind") == "deleted"
        if not noted and _is_at_rest(trashed, path):
            _note("deleted", trashed)
    for name, line in last.items():
        path = trash_folder(runs) / name
        trashed = Trashed(path, _name(path, line))
        if line.get("kind") == "deleted" and not _exists(path):
            place = trashed.old_place
            if _exists(place) and _is_at_rest(trashed, place):
                _note("restored", trashed)


@contextmanager
def _held(run_id: str) -> Generator[None]:
    """Hold a run's lock."""
    with RunLock(run_id) as lock:
        if not lock.take_within(PATIENCE_S):
            raise RunFolderError(
                f"somebody else works on run {run_id.rpartition('-')[2]} at this moment; "
                "try again when that has ended"
            )
        yield


def _is_at_rest(trashed: Trashed, path: Path) -> bool:
    """Tell whether nobody moves a run at this moment, who will note it too."""
    with RunLock(trashed.run_id) as lock:
        return lock.take() and _exists(path)


def _move(path: Path, place: Path) -> None:
    path.rename(place)
    with suppress(OSError):  # it has moved; only a power cut at this moment could undo that
        sync_folder(place.parent)
        sync_folder(path.parent)


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _folders(runs: Path) -> list[Path]:
    """Return the folders of deleted runs; what else lies there is none of ours."""
    return [path for path in trash_folder(runs).glob("[!.]*") if _is_name(path.name)]


def _is_name(name: object) -> bool:
    """Tell whether this is `<UTC time>-<run id>`."""
    if not isinstance(name, str) or not _is_plain(name[LENGTH_OF_TIME + 1 :]):
        return False
    try:
        datetime.strptime(name[: LENGTH_OF_TIME + 1], f"{ID_TIME}-").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def _is_plain(name: str) -> bool:
    """Tell whether this names a folder that is neither hidden nor elsewhere."""
    return bool(name) and not name.startswith(".") and "/" not in name


def _journal(runs: Path) -> Path:
    return runs / ".state" / "deleted.jsonl"


def _notes(runs: Path) -> list[JsonObject]:
    return [line for line in read_lines(_journal(runs))[0] if _is_name(line.get("trash"))]


def _note(
    kind: Literal["deleted", "restored", "removed"], trashed: Trashed, size_bytes: int | None = None
) -> None:
    """Say durably what has happened to a run; on a full disk, `mend` will."""
    line = {
        "kind": kind,
        "run_id": trashed.run_id,
        "name": trashed.name,
        "trash": trashed.path.name,
        "time": utc_now(),
        "bytes": size_bytes,
    }
    journal = _journal(trashed.path.parent.parent)
    with suppress(OSError):
        journal.parent.mkdir(exist_ok=True)
        append_line(journal, line, durable=True)


def _name(path: Path, note: JsonObject | None = None) -> str:
    """Return the experiment's name: as noted, or as the run itself says."""
    known = (note, read_json(path / "run.json"), read_json(path / "config.json"))
    names = (str(data.get("name") or "") for data in known if data)
    return next(filter(_is_plain, names), "unnamed")
