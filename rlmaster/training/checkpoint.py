"""Checkpoints: networks, optimiser, random states and counters, whole or not there at all.

A checkpoint is written beside, checksummed, and renamed to a name that was free; `best.json` is
then pointed at it if it is the best. Whenever process or power end, those before are whole.
Networks are safetensors, the rest is loaded with `weights_only=True`: a pickle is never run.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from rlmaster.durable_files import read_json, sync_folder, write_json
from rlmaster.errors import RunFolderError

NETWORKS = "networks.safetensors"
STATE = "state.pt"
MANIFEST = "manifest.json"
BEST_POINTER = "best.json"
"""Beside the checkpoints: `{"checkpoint": NAME}`."""


@dataclass(frozen=True)
class Checkpoint:
    """What training needs to go on from a step."""

    step: int
    networks: dict[str, Tensor]
    """Weights by their name in the module, on the processor."""
    state: dict[str, Any]
    """Optimiser, random states and counters: tensors, numbers, text, lists and dicts only."""


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
            "optimiser": _copy_nested(optimiser.state_dict()),
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "counters": json.dumps(dict(counters)),
        },
    )


def numpy_state(generator: np.random.Generator) -> dict[str, Any]:
    """Return a generator's state as JSON data."""
    return dict(generator.bit_generator.state)


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint into a run's `checkpoints` folder and return where it is."""
    return _write(folder, checkpoint, f"update-{checkpoint.step:09d}")


def write_best(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the best checkpoint so far and return where it is.

    The one before stays until the next, since a reader may just have been pointed at it.
    """
    before = _best_name(folder)
    path = _write(folder, checkpoint, f"best-{checkpoint.step:09d}")
    write_json(folder / BEST_POINTER, {"checkpoint": path.name}, durable=True)
    for old in folder.glob("best-*"):
        if old.name not in (path.name, before):
            shutil.rmtree(old)
    return path


def _write(folder: Path, checkpoint: Checkpoint, name: str) -> Path:
    for left_behind in folder.glob(".partial-*"):  # by a process that was killed
        shutil.rmtree(left_behind)
    final = _free(folder / name)
    partial = folder / f".partial-{final.name}"
    partial.mkdir(parents=True)
    state = io.BytesIO()  # in memory first: torch hides a full disk behind an error of its own
    torch.save(checkpoint.state, state)
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


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints that are named by their step, oldest first."""
    return sorted(path for path in folder.glob("update-*") if (path / MANIFEST).is_file())


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
    name = _best_name(folder) if which == "best" else which
    if name and (folder / name / MANIFEST).is_file():
        return folder / name
    names = ", ".join([path.name for path in known][-5:]) or "none yet"
    raise RunFolderError(f"there is no checkpoint {which!r} in {folder}; there are: {names}")


def _best_name(folder: Path) -> str:
    """Return the name of the best checkpoint's folder, or nothing."""
    return str((read_json(folder / BEST_POINTER) or {}).get("checkpoint", ""))


def read_networks(path: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint.

    Raises:
        RunFolderError: If it is missing, or is not what was written.
    """
    _verify(path, NETWORKS)
    return load_file(path / NETWORKS)


def read_state(path: Path) -> dict[str, Any]:
    """Return optimiser, random states and counters of a checkpoint.

    Raises:
        RunFolderError: If it is missing, or is not what was written.
    """
    _verify(path, STATE)
    return torch.load(path / STATE, weights_only=True)


def _verify(path: Path, file: str) -> None:
    manifest = read_json(path / MANIFEST)
    if manifest is None or not (path / file).is_file():
        raise RunFolderError(f"there is no whole checkpoint in {path}")
    if _sha256(path / file) != manifest["sha256"][file]:
        raise RunFolderError(
            f"{path / file} is damaged: its checksum is not the one written with it"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True)


def _copy_nested(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _copy(value)
    if isinstance(value, dict):
        return {key: _copy_nested(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copy_nested(inner) for inner in value]
    return value
