"""What lies under `runs/`, and what room it takes.

Room is what the file system has set aside, folders included, as `du` counts it. A symbolic link is
counted as the link that it is, wherever it leads.
"""

import os
import re
import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from rlmaster.run_folder import RunFolder
from rlmaster.trash import Trashed, trashed_runs

_ANY = RunFolder(Path("any"))
KIND_OF = {
    _ANY.checkpoints.name: "checkpoints",
    _ANY.encoder_weights.name: "checkpoints",
    _ANY.policy.name: "checkpoints",
    _ANY.replay.name: "replay",
    _ANY.tensorboard.name: "tensorboard",
    _ANY.previews.name: "previews",
    _ANY.videos.name: "videos",
    _ANY.tensors.name: "tensors",
    _ANY.plots.name: "report",
    _ANY.report.name: "report",
    _ANY.log_file.name: "log",
}
"""What a file or folder of a run is counted as; the rest is `other`."""
PROGRESS_EVERY = 1_000
"""Files between two words on how far counting is."""


class Meter:
    """Adds up the room of files and folders, each once however many names it has."""

    def __init__(self, on_progress: Callable[[int], None] = lambda _files: None) -> None:
        """Begin with nothing counted.

        Args:
            on_progress: Told now and then how many files have been counted.
        """
        self.files = 0
        """How many files and folders have been counted."""
        self.unreadable: list[Path] = []
        """Folders that may not be read, and so count as empty."""
        self._on_progress = on_progress
        self._linked: set[tuple[int, int]] = set()

    def room_bytes(self, path: Path, *, except_for: Collection[Path] = ()) -> int:
        """Return the room of a file, or of a folder and all that is in it.

        Args:
            path: The file or folder; one that is gone takes no room.
            except_for: Folders in it that are not counted.
        """
        passed_over = {str(folder) for folder in except_for}
        total, waiting = 0, [str(path)]
        while waiting:
            place = waiting.pop()
            try:
                found = os.lstat(place)
                total += self._add(found)
                if stat.S_ISDIR(found.st_mode):
                    with os.scandir(place) as entries:
                        waiting += {entry.path for entry in entries} - passed_over
            except FileNotFoundError:
                continue  # a live run has just removed it
            except PermissionError:
                self.unreadable.append(Path(place))
        return total

    def _add(self, found: os.stat_result) -> int:
        self.files += 1
        if self.files % PROGRESS_EVERY == 0:
            self._on_progress(self.files)
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            name = (found.st_dev, found.st_ino)
            if name in self._linked:
                return 0
            self._linked.add(name)
        return found.st_blocks * 512


@dataclass(frozen=True)
class RunRoom:
    """The room that one run takes."""

    run: RunFolder
    bytes_by_kind: Mapping[str, int]
    """Bytes of checkpoints, replay and so on; the largest first, and only what is there."""

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return sum(self.bytes_by_kind.values())


@dataclass(frozen=True)
class Room:
    """The room that everything under `runs/` takes."""

    runs: list[RunRoom]
    """Largest first."""
    snapshots_bytes: list[int]
    """Of each snapshot of code."""
    trash: list[tuple[Trashed, int]]
    """Each deleted run and its bytes; the newest deletion first."""
    other_bytes: int
    """The index, what was announced, folders of experiments, and whatever else lies there."""

    @property
    def size_bytes(self) -> int:
        """All of it."""
        kept = sum(room.size_bytes for room in self.runs) + sum(self.snapshots_bytes)
        return kept + sum(size for _, size in self.trash) + self.other_bytes


def measure_run(run: RunFolder, meter: Meter) -> RunRoom:
    """Return the room of a run by kind."""
    inside = list(run.path.iterdir())
    found = {"other": meter.room_bytes(run.path, except_for=inside)}
    for path in inside:
        kind = KIND_OF.get(path.name, "other")
        found[kind] = found.get(kind, 0) + meter.room_bytes(path)
    by_size = sorted(found.items(), key=lambda item: -item[1])
    return RunRoom(run, dict(by_size))


def measure(runs: Path, meter: Meter) -> Room:
    """Return the room of everything; a file that several runs share counts for the oldest."""
    runs = runs.resolve()
    whole = sorted((run for run in own_run_folders(runs) if run.exists()), key=lambda run: run.id)
    rooms = [measure_run(run, meter) for run in whole]
    trash = [(trashed, meter.room_bytes(trashed.path)) for trashed in trashed_runs(runs)]
    snapshots = snapshot_folders(runs)
    sizes = [meter.room_bytes(path) for path in snapshots]
    counted = [*(run.path for run in whole), *(t.path for t, _ in trash), *snapshots]
    other = meter.room_bytes(runs, except_for=counted)
    return Room(sorted(rooms, key=lambda room: -room.size_bytes), sizes, trash, other)


# ------------------------------------------------------------------------------ what lies where


def own_run_folders(runs: Path) -> list[RunFolder]:
    """Return every folder that is, or may become, a run, but none that a link leads to."""
    return [RunFolder(path) for experiment in folders_in(runs) for path in folders_in(experiment)]


def snapshots_folder(runs: Path) -> Path:
    """Return where the code of the runs is kept."""
    return runs / ".snapshots"


def snapshot_folders(runs: Path) -> list[Path]:
    """Return the snapshots, each named by its digest."""
    return [
        path
        for path in folders_in(snapshots_folder(runs))
        if re.fullmatch("[0-9a-f]{64}", path.name)
    ]


def shared_frames_folder(runs: Path) -> Path:
    """Return where frames are kept that several runs ask for."""
    return runs / ".frames"


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder, by name, but no link to one and none that is hidden."""
    inside = (path for path in entries_in(folder) if not path.name.startswith("."))
    return [path for path in inside if path.is_dir() and not path.is_symlink()]


def entries_in(folder: Path) -> list[Path]:
    """Return what is in a folder, by name; nothing where a link leads there, or it is not there."""
    if folder.is_symlink() or folder.parent.is_symlink():
        return []
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
