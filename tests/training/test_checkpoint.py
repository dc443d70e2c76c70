"""Checkpoints come back bit by bit, and never half."""

import json
from pathlib import Path

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
    write_checkpoint(tmp_path, capture(5, network, optimiser, {}), "best")
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "update-000000005",
        "update-000000010",
    ]
    assert find_checkpoint(tmp_path).name == "update-000000010"
    assert find_checkpoint(tmp_path, "best").name == "best"
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
    path = write_checkpoint(tmp_path, capture(1, network, optimiser, {}), "best")
    old = read_networks(path)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with torch.no_grad():
        network.weight += 1
    monkeypatch.setattr(checkpoints.torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_checkpoint(tmp_path, capture(2, network, optimiser, {}), "best")
    assert torch.equal(read_networks(path)["weight"], old["weight"])
    assert find_checkpoint(tmp_path, "best") == path
