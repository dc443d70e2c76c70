"""What is still owed of runs elsewhere: a marker for each, until all of its end is here.

A marker is made before a run is handed to its host and goes when nothing more will come from there,
so whoever looks into one small folder knows whether somebody must follow. One process at a time
does, the holder of the watch lock.
"""

from pathlib import Path

from rlmaster.durable_files import read_json, sync_folder, write_json
from rlmaster.errors import HostError
from rlmaster.hosts.local import start_watcher
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import HostLock, is_free, is_locked
from rlmaster.run_status import FINAL_STATES


def owe(run: RunFolder) -> None:
    """Keep in mind that a run elsewhere is to be followed; whoever makes it holds its lock."""
    folder = _markers(run.path.parent.parent)
    folder.mkdir(parents=True, exist_ok=True)
    place = run.path.relative_to(run.path.parent.parent).as_posix()
    write_json(_marker(run), {"run_folder": place}, durable=True)


def settle(run: RunFolder) -> None:
    """Say that all that will ever come of a run is here."""
    try:
        _marker(run).unlink()
    except FileNotFoundError:
        return
    sync_folder(_markers(run.path.parent.parent))


def is_owed(run: RunFolder) -> bool:
    """Tell whether something of a run is still to come."""
    return _marker(run).exists()


def owed(runs: Path) -> list[RunFolder]:
    """Return the runs of which something is still to come, oldest first.

    A marker that leads to no run, since its launch was cut or somebody has deleted it, is removed.
    """
    found: list[RunFolder] = []
    for marker in sorted(_markers(runs).glob("*.json")):
        run = _marked(marker, runs)
        if run is not None and run.exists():
            found.append(run)
        elif run is None or not is_locked(run.id):  # else it is just being made
            marker.unlink(missing_ok=True)
    return found


def owe_if_elsewhere(run: RunFolder) -> bool:
    """Tell whether a run is made elsewhere; one that lives and has lost its marker gets it back."""
    if run.is_here():
        return False
    if not is_owed(run) and run.status().state not in FINAL_STATES:
        owe(run)
    return True


def watch_lock(runs: Path) -> HostLock:
    """Open the lock of the one process that brings here what is owed; nothing is locked yet."""
    state = runs / ".state"
    state.mkdir(parents=True, exist_ok=True)
    return HostLock(state / "watch.lock")


def wake_watcher(runs: Path) -> None:
    """See to it that runs elsewhere are followed; costs next to nothing where there are none.

    Raises:
        HostError: If no process can be started.
    """
    try:
        if any(_markers(runs).glob("*.json")) and is_free(watch_lock(runs)):
            start_watcher(runs.parent)
    except OSError as error:
        raise HostError(
            f"{error.filename or runs} cannot be used ({error.strerror or error}), so runs "
            "elsewhere are not followed; check who may write there"
        ) from error


def _markers(runs: Path) -> Path:
    return runs / ".state" / "elsewhere"


def _marker(run: RunFolder) -> Path:
    return _markers(run.path.parent.parent) / f"{run.id}.json"


def _marked(marker: Path, runs: Path) -> RunFolder | None:
    """Return the run folder that a marker names; None where it names none that could be its."""
    place = Path(str((read_json(marker) or {}).get("run_folder") or ""))
    if len(place.parts) != 2 or ".." in place.parts or place.name != marker.stem:
        return None
    return RunFolder(runs / place)
