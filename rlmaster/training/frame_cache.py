"""Frames that several runs ask for: collected once, and then the same files for all of them.

`runs/.frames/<digest>/` holds links to a whole replay's files, which are never changed in place.
Who is second with the same frames finds the folder there; one that is damaged counts as none.
"""

import hashlib
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from rlmaster.durable_files import link_or_copy, read_json, sync_folder, write_json
from rlmaster.errors import RunFolderError
from rlmaster.experiment import Experiment
from rlmaster.frame_sources import ReplayFrames
from rlmaster.replay.chunk_files import MANIFEST, ChunkFolder
from rlmaster.run_folder import RunFolder
from rlmaster.specification import digest
from rlmaster.training.trained_policy import policy_checksum, policy_config

COLLECTED_BY = "collected_by.json"
"""In an entry: the id of the run that it comes from."""
OURS = "rlmaster."
"""How the modules of parts begin whose code a user's script does not change."""
CODE = (
    *sorted((Path(__file__).parents[1] / "atari").glob("*.py")),
    *(Path(__file__).with_name(name) for name in ("collecting.py", "exploring.py")),
)
"""What plays."""


class FrameCache:
    """The place of one run's frames among those that the project's runs share."""

    def __init__(self, entry: Path, run_id: str) -> None:
        """Point at an entry; `of` finds it."""
        self._entry = entry
        self._run_id = run_id

    @classmethod
    def of(cls, run: RunFolder, experiment: Experiment) -> Self | None:
        """Return where a run's frames are shared; None where they are no other's.

        That is so for frames of an earlier run, and of a source or an agent of the user's own,
        whose code may change under its name. Where ours is edited, frames are collected anew.
        """
        if isinstance(experiment.frames, ReplayFrames) or not _is_ours(experiment, run):
            return None
        made_by = {"ale_py": version("ale-py"), "code": _code_sha256()}
        name = digest({**collected_from(experiment, run), **made_by})
        return cls(run.path.parent.parent / ".frames" / name, run.id)

    def take(self, folder: Path) -> str:
        """Bring the frames into a run's `replay` folder.

        Returns:
            The id of the run that collected them; empty where there are no whole ones.
        """
        try:
            names, taken_from = _whole_files(self._entry), self._collected_by()
            folder.mkdir(parents=True, exist_ok=True)
            _link(self._entry, folder, names)
        except (RunFolderError, OSError):  # none, damaged, or removed at this moment
            return ""
        return taken_from

    def give(self, folder: Path) -> None:
        """Share a whole `replay` folder, unless its frames are shared already.

        Raises:
            OSError: If that cannot be written.
            RunFolderError: If the folder is not whole.
        """
        if self._is_there():
            return
        partial = self._entry.with_name(f".partial-{self._run_id}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _link(folder, partial, _whole_files(folder))
            write_json(partial / COLLECTED_BY, {"run": self._run_id}, durable=True)
            self._set_aside_what_is_damaged()
            self._publish(partial)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _publish(self, partial: Path) -> None:
        try:
            partial.rename(self._entry)
        except OSError:
            if not self._is_there():
                raise
            return  # another run was faster
        sync_folder(self._entry.parent)

    def _is_there(self) -> bool:
        try:
            return bool(_whole_files(self._entry) and self._collected_by())
        except (RunFolderError, OSError):
            return False

    def _collected_by(self) -> str:
        """Return the id of the run that an entry comes from.

        Raises:
            RunFolderError: If it does not say.
        """
        run_id = (read_json(self._entry / COLLECTED_BY) or {}).get("run")
        if not isinstance(run_id, str):
            raise RunFolderError(f"{self._entry} does not say who collected it; remove it")
        return run_id

    def _set_aside_what_is_damaged(self) -> None:
        """Make room for a whole entry, in one step for whoever looks at the damaged one."""
        aside = self._entry.with_name(f".removing-{self._run_id}")
        if self._entry.exists() and not self._is_there():
            self._entry.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def collected_from(experiment: Experiment, run: RunFolder) -> dict[str, Any]:
    """Return all that decides which frames a run collects, as JSON data."""
    data = experiment.to_data()
    data["frames"].pop("held_out_share")  # which is chosen among frames that are there
    collected = {name: data[name] for name in ("environment", "frames", "seed")}
    if checksum := policy_checksum(run):  # for a name may stand for other weights one day
        collected["policy_sha256"] = checksum
    return collected


def _code_sha256() -> str:
    """Return a digest of our own code that frames follow from, for that may be edited, too."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in CODE)).hexdigest()


def _is_ours(experiment: Experiment, run: RunFolder) -> bool:
    """Tell whether no code of the user's own decides which frames a run collects."""
    played_by = policy_config(run)
    parts = (experiment.to_data()["frames"], played_by.get("agent"), played_by.get("embedder"))
    return all(str(part["type"]).startswith(OURS) for part in parts if part)


def _whole_files(folder: Path) -> list[str]:
    """Return the names of a replay's files, the manifest last, if all are as they were written.

    Raises:
        RunFolderError: If one is missing or damaged.
    """
    chunks = ChunkFolder.open(folder).chunks
    for chunk in chunks:
        if _sha256(folder / chunk.file) != chunk.sha256:
            raise RunFolderError(f"{folder / chunk.file} is damaged; collect the frames anew")
    beside = sorted(path.name for path in folder.glob("*.json"))
    own = [name for name in beside if name not in (MANIFEST, COLLECTED_BY)]
    return [*(chunk.file for chunk in chunks), *own, MANIFEST]


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _link(source: Path, target: Path, names: list[str]) -> None:
    for name in names:
        (target / name).unlink(missing_ok=True)
        link_or_copy(source / name, target / name)
