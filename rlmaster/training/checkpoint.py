"""Checkpoints: networks, optimiser, random states and counters, whole or not there at all.

A checkpoint is written beside, checksummed, and renamed into place; the one before it stays until
then. Networks are safetensors, the rest is loaded with `weights_only=True`: a pickle is never run.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlmaster.durable_files import read_json, sync_folder, write_json
from rlmaster.errors import RunFolderError

NETWORKS = "networks.safetensors"
STATE = "state.pt"
MANIFEST = "manifest.json"
BEST = "best"


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
            "counters": json.dumps(dict(counters)),
        },
    )


def numpy_state(generator: np.random.Generator) -> dict[str, Any]:
    """Return a generator's state as JSON data."""
    return dict(generator.bit_generator.state)


def write_checkpoint(folder: Path, checkpoint: Checkpoint, name: str | None = None) -> Path:
    """Write a checkpoint into a run's `checkpoints` folder and return where it is.

    Args:
        folder: The run's `checkpoints`.
        checkpoint: What `capture` gave.
        name: `best`, or nothing for one named by its step.
    """
    final = folder / (name or f"update-{checkpoint.step:09d}")
    partial = folder / f".partial-{final.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(checkpoint.networks, partial / NETWORKS)
    torch.save(checkpoint.state, partial / STATE)
    checksums = {file: _sha256(partial / file) for file in (NETWORKS, STATE)}
    write_json(partial / MANIFEST, {"step": checkpoint.step, "sha256": checksums}, durable=True)
    _swap(partial, final)
    sync_folder(folder)
    return final


def _swap(partial: Path, final: Path) -> None:
    """Put the new folder in place of an old one of that name."""
    old = final.with_name(f".old-{final.name}")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    partial.rename(final)
    shutil.rmtree(old, ignore_errors=True)


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
    if (named := folder / which / MANIFEST).is_file():
        return named.parent
    names = ", ".join([path.name for path in known][-5:]) or "none yet"
    raise RunFolderError(f"there is no checkpoint {which!r} in {folder}; there are: {names}")


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
