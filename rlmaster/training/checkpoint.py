"""Checkpoints: networks, optimiser, random states and counters, whole or not there at all.

A checkpoint is written beside, checksummed, and renamed to a name that was free; `best.json` is
then pointed at it if it is the best. Whenever process or power end, those before are whole.
Networks are safetensors, the rest is loaded with `weights_only=True`: a pickle is never run.
A resume takes the newest whole one. One that is damaged is set aside under another name, and so is
one whose weights are no numbers, from which nothing can be learned.
"""

import hashlib
import io
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from rlmaster.durable_files import read_json, sync_folder, write_json
from rlmaster.errors import RunFolderError, TrainingError

NETWORKS = "networks.safetensors"
STATE = "state.pt"
MANIFEST = "manifest.json"
BEST_POINTER = "best.json"
"""Beside the checkpoints: `{"checkpoint": NAME}`."""
NAME = re.compile(r"(?:update|step|best)-(\d+)(?:\.\d+)?")
"""Of a checkpoint, after what counts its axis, and a number where there was one of that step."""
PARTIAL = ".partial-"
"""Begins the name of what is being written or deleted."""
KEPT_FOR_RESUME = 2
"""Two, so that one that turns out to be damaged costs no more than the time between them."""


@dataclass(frozen=True)
class Checkpoint:
    """What training needs to go on from a step."""

    step: int
    networks: dict[str, Tensor]
    """Weights by their name in the module, on the processor."""
    state: dict[str, Any]
    """Optimiser and random states: tensors, numbers, text, lists and dicts only."""
    counters: dict[str, Any] = field(default_factory=dict[str, Any])
    """Everything else that decides how training goes on, as JSON data."""

    @property
    def run_id(self) -> str:
        """The run that wrote it, which is another one where a branch begins; empty if unknown."""
        return str(self.counters.get("run", ""))

    @property
    def unit(self) -> str:
        """What the step counts: `update`, or agent `step` where an agent learns."""
        return str(self.counters.get("unit", "update"))

    @property
    def holds_numbers(self) -> bool:
        """Whether no weight is NaN; an infinity may be meant, as in the buffer of a mask."""
        return not any(bool(value.isnan().any()) for value in self.networks.values())


def capture(
    step: int,
    networks: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    counters: Mapping[str, Any],
) -> Checkpoint:
    """Copy all state at this moment, so that training may go on while it is written."""
    return Checkpoint(
        step,
        {name: _copy(value).contiguous() for name, value in networks.state_dict().items()},
        {
            "optimiser": copied_to_host(optimiser.state_dict()),
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        },
        dict(counters),
    )


def restore_random_states(state: Mapping[str, Any]) -> None:
    """Let torch draw what it would have drawn after the checkpoint of that state."""
    torch.set_rng_state(state["torch_random"])
    if len(state["cuda_random"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda_random"])


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint into a run's `checkpoints` folder and return where it is."""
    return _write(folder, checkpoint, f"{checkpoint.unit}-{checkpoint.step:09d}")


def write_best(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the best checkpoint so far and return where it is.

    The one before stays until the next, since a reader may just have been pointed at it.
    """
    before = _best_name(folder)
    path = _write(folder, checkpoint, f"best-{checkpoint.step:09d}")
    write_json(folder / BEST_POINTER, {"checkpoint": path.name}, durable=True)
    for old in folder.glob("best-*"):
        if old.name not in (path.name, before):
            _remove(old)
    return path


def point_to_best(folder: Path, step: int) -> None:
    """Point at the whole best checkpoint of a step, if a kill came just before that was done."""
    of_step = [path for path in _whole(folder) if path.match("best-*") and step_of(path) == step]
    if of_step and _best_name(folder) not in {path.name for path in of_step}:
        write_json(folder / BEST_POINTER, {"checkpoint": of_step[-1].name}, durable=True)


def _write(folder: Path, checkpoint: Checkpoint, name: str) -> Path:
    for left_behind in folder.glob(f"{PARTIAL}*"):  # by a process that was killed
        shutil.rmtree(left_behind)
    final = _free(folder / name)
    partial = folder / f"{PARTIAL}{final.name}"
    partial.mkdir(parents=True)
    state = io.BytesIO()  # in memory first: torch hides a full disk behind an error of its own
    torch.save({**checkpoint.state, "counters": json.dumps(checkpoint.counters)}, state)
    contents = {NETWORKS: save(checkpoint.networks), STATE: state.getvalue()}
    checksums = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    try:
        for file, content in contents.items():
            _write_durably(partial / file, content)
        write_json(partial / MANIFEST, {"step": checkpoint.step, "sha256": checksums}, durable=True)
        partial.rename(final)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)  # its room is needed to say that there is none
        raise
    sync_folder(folder)
    return final


def _free(path: Path) -> Path:
    """Return the path, or one like it where a checkpoint of that step is there already."""
    later = (path.with_name(f"{path.name}.{number}") for number in count(2))
    return next(candidate for candidate in chain([path], later) if not candidate.exists())


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def thin(folder: Path, milestones: Container[int]) -> None:
    """Delete the checkpoints that only a resume needs, but for the newest two of these.

    Those of milestones stay, and the best, which has a name of its own.

    Args:
        folder: The run's `checkpoints`.
        milestones: Updates whose checkpoints were asked for.
    """
    known = list_checkpoints(folder)
    for_resume = [path for path in known if step_of(path) not in milestones]
    for path in for_resume[:-KEPT_FOR_RESUME]:
        _remove(path)


def _remove(path: Path) -> None:
    """Delete a checkpoint that is out of sight first, so nobody ever finds half of one."""
    shutil.rmtree(path.rename(path.with_name(f"{PARTIAL}{path.name}")))


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints that are named by their step, oldest first, without the best."""
    return [path for path in _whole(folder) if not path.name.startswith("best-")]


def _whole(folder: Path) -> list[Path]:
    return [path for path in _named(folder) if (path / MANIFEST).is_file()]


def _named(folder: Path) -> list[Path]:
    """Return what is called a checkpoint, the best ones too, before those of their step."""
    named = [path for path in folder.glob("*-*") if NAME.fullmatch(path.name)]
    return sorted(named, key=lambda path: (step_of(path), path.name))


def step_of(path: Path) -> int:
    """Return the update, or agent step, whose checkpoint a folder is."""
    name = NAME.fullmatch(path.name)
    assert name is not None
    return int(name[1])


def find_checkpoint(folder: Path, which: str = "newest") -> Path:
    """Return a checkpoint's folder.

    Args:
        folder: The run's `checkpoints`.
        which: `newest`, `best`, or a folder's name.

    Raises:
        RunFolderError: If there is none of that name; those that exist are listed.
    """
    known = list_checkpoints(folder)
    if which == "newest" and known:
        return known[-1]
    best = _best_name(folder)
    name = best if which == "best" else which
    if name and (folder / name / MANIFEST).is_file():
        return folder / name
    names = ", ".join([*(path.name for path in known[-5:]), *["best"] * bool(best)]) or "none yet"
    raise RunFolderError(f"there is no checkpoint {which!r} in {folder}; there are: {names}")


def _best_name(folder: Path) -> str:
    """Return the name of the best checkpoint's folder, or nothing."""
    return str((read_json(folder / BEST_POINTER) or {}).get("checkpoint", ""))


def read_newest_whole(
    folder: Path, on_damage: Callable[[Path, RunFolderError], None]
) -> Checkpoint | None:
    """Return the newest checkpoint that is what was written, or None where there is none.

    The best one counts too: it holds the same, and a branch may have been given nothing else.

    Args:
        folder: The run's `checkpoints`.
        on_damage: Told of each newer one that is damaged, and what about it; it is then set aside.

    Raises:
        TrainingError: If the newest whole one cannot be used here.
    """
    for path in reversed(_named(folder)):
        try:
            return read_checkpoint(path)
        except RunFolderError as error:
            on_damage(path, error)
            path.rename(_free(path.with_name(f"damaged-{path.name}")))
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """Return all that training needs to go on.

    Raises:
        RunFolderError: If it is missing, is not what was written, or its weights are no numbers.
        TrainingError: If this version of torch or of RLmaster cannot use it.
    """
    networks, state = read_networks(path), read_state(path)
    counters = json.loads(state.pop("counters"))
    checkpoint = Checkpoint(counters["updates"], networks, state, counters)
    if not checkpoint.holds_numbers:
        raise RunFolderError(f"the weights in {path} are not numbers")
    return checkpoint


def read_networks(path: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint.

    Raises:
        RunFolderError: If it is missing, or is not what was written.
    """
    return load(_read_verified(path, NETWORKS))


def read_state(path: Path) -> dict[str, Any]:
    """Return optimiser, random states and counters, these as JSON text, of a checkpoint.

    Raises:
        RunFolderError: If it is missing, or is not what was written.
        TrainingError: If this version of torch cannot load it.
    """
    content = io.BytesIO(_read_verified(path, STATE))
    try:
        return torch.load(content, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise TrainingError(
            f"{path / STATE} is whole, but torch {torch.__version__} cannot load it; resume the "
            f"run with the torch that wrote it, or launch a new one ({error})"
        ) from error


def _read_verified(path: Path, file: str) -> bytes:
    """Return a file's content, which must be what the checkpoint's manifest says."""
    manifest = read_json(path / MANIFEST)
    if manifest is None or not (path / file).is_file():
        raise RunFolderError(f"there is no whole checkpoint in {path}")
    try:
        content = (path / file).read_bytes()
    except OSError as error:
        raise RunFolderError(f"{path / file} cannot be read ({error.strerror or error})") from error
    if manifest.get("sha256", {}).get(file) != hashlib.sha256(content).hexdigest():
        raise RunFolderError(
            f"{path / file} is damaged: its checksum is not the one written with it"
        )
    return content


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True)


def copied_to_host(value: Any) -> Any:
    """Return nested lists and dicts with copies of their tensors, on the processor."""
    if isinstance(value, Tensor):
        return _copy(value)
    if isinstance(value, dict):
        return {key: copied_to_host(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [copied_to_host(inner) for inner in value]
    return value
