"""Checkpoints come back bit by bit, and never half."""

import json
import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rlmaster.errors import RunFolderError
from rlmaster.training import checkpoint as checkpoints
from rlmaster.training.checkpoint import (
    capture,
    find_checkpoint,
    list_checkpoints,
    numpy_state,
    read_networks,
    read_state,
    write_best,
    write_checkpoint,
)


def trained_network() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(3)
    network = nn.Linear(5, 2)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(4, 5)).sum().backward()
    optimiser.step()
    return network, optimiser


def test_networks_optimiser_and_counters_come_back(tmp_path: Path) -> None:
    network, optimiser = trained_network()
    order = np.random.default_rng(7)
    order.random(3)
    counters = {"updates": 12, "batch_order": numpy_state(order)}
    torch_random = torch.get_rng_state()
    path = write_checkpoint(tmp_path, capture(12, network, optimiser, counters))

    again, other_optimiser = nn.Linear(5, 2), torch.optim.Adam(nn.Linear(5, 2).parameters())
    again.load_state_dict(read_networks(path))
    state = read_state(path)
    other_optimiser.load_state_dict(state["optimiser"])
    restored = np.random.default_rng()
    restored.bit_generator.state = json.loads(state["counters"])["batch_order"]

    assert all(map(torch.equal, again.state_dict().values(), network.state_dict().values()))
    moments = optimiser.state_dict()["state"][0]["exp_avg"]
    assert torch.equal(other_optimiser.state_dict()["state"][0]["exp_avg"], moments)
    assert restored.random() == order.random()
    assert torch.equal(state["torch_random"], torch_random)


def test_a_checkpoint_is_of_the_moment_it_was_captured(tmp_path: Path) -> None:
    network, optimiser = trained_network()
    before = network.weight.detach().clone()
    captured = capture(1, network, optimiser, {})
    with torch.no_grad():
        network.weight += 1
    assert torch.equal(read_networks(write_checkpoint(tmp_path, captured))["weight"], before)


def test_newest_best_and_named_checkpoints_are_found(tmp_path: Path) -> None:
    network, optimiser = trained_network()
    for step in (5, 10):
        write_checkpoint(tmp_path, capture(step, network, optimiser, {}))
    write_best(tmp_path, capture(5, network, optimiser, {}))
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "update-000000005",
        "update-000000010",
    ]
    assert find_checkpoint(tmp_path).name == "update-000000010"
    assert find_checkpoint(tmp_path, "best").name == "best-000000005"
    with pytest.raises(RunFolderError, match="update-000000010"):
        find_checkpoint(tmp_path, "update-000000007")


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    network, optimiser = trained_network()
    path = write_checkpoint(tmp_path, capture(1, network, optimiser, {}))
    file = path / "networks.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunFolderError, match="damaged"):
        read_networks(path)


def test_a_write_that_is_cut_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, optimiser = trained_network()
    path = write_best(tmp_path, capture(1, network, optimiser, {}))
    old = read_networks(path)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with torch.no_grad():
        network.weight += 1
    monkeypatch.setattr(checkpoints.torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_best(tmp_path, capture(2, network, optimiser, {}))
    assert torch.equal(read_networks(path)["weight"], old["weight"])
    assert find_checkpoint(tmp_path, "best") == path


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", [1, 2])  # a resumed run may come by a step again
def test_a_best_one_is_found_wherever_writing_the_next_is_cut(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, optimiser = trained_network()
    write_best(tmp_path, capture(1, network, optimiser, {}))
    steps_left = 0

    def cut(operation: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps_left
            steps_left -= 1
            if steps_left < 0:
                raise Killed
            read_networks(find_checkpoint(tmp_path, "best"))
            return operation(*args, **kwargs)

        return maybe

    monkeypatch.setattr(Path, "rename", cut(Path.rename))
    monkeypatch.setattr(Path, "replace", cut(Path.replace))
    monkeypatch.setattr(os, "fsync", cut(os.fsync))
    monkeypatch.setattr(shutil, "rmtree", cut(shutil.rmtree))
    with torch.no_grad():
        network.weight += 1
    for allowed in count():
        steps_left = allowed
        try:
            path = write_best(tmp_path, capture(step, network, optimiser, {}))
        except Killed:
            steps_left = 1000
            read_networks(find_checkpoint(tmp_path, "best"))
        else:
            break
    assert allowed > 5
    assert find_checkpoint(tmp_path, "best") == path
    assert torch.equal(read_networks(path)["weight"], network.weight)


def test_only_the_best_and_the_one_before_stay_and_no_leftovers(tmp_path: Path) -> None:
    network, optimiser = trained_network()
    (tmp_path / ".partial-update-000000001").mkdir()
    (tmp_path / ".partial-update-000000001" / "networks.safetensors").write_bytes(b"half")
    for step in (1, 2, 3):
        write_best(tmp_path, capture(step, network, optimiser, {}))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best-000000002",
        "best-000000003",
        "best.json",
    ]


def test_every_file_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, optimiser = trained_network()
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda number: synced.add(os.fstat(number).st_ino))
    path = write_checkpoint(tmp_path, capture(1, network, optimiser, {}))
    assert synced >= {file.stat().st_ino for file in (*path.iterdir(), path, tmp_path)}


def test_random_states_of_gpus_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, optimiser = trained_network()
    states = [torch.arange(16, dtype=torch.uint8)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: states)
    path = write_checkpoint(tmp_path, capture(1, network, optimiser, {}))
    assert torch.equal(read_state(path)["cuda_random"][0], states[0])
