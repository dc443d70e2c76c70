"""Checkpoints come back bit by bit, and never half."""

import os
import pickle
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rlmaster.errors import RunFolderError, TrainingError
from rlmaster.training import checkpoint as checkpoints
from rlmaster.training.checkpoint import (
    capture,
    find_checkpoint,
    list_checkpoints,
    read_checkpoint,
    read_networks,
    read_newest_whole,
    read_state,
    restore_random_states,
    step_of,
    thin,
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
    counters = {"updates": 12, "results": [0.1, 1 / 3]}
    torch_random = torch.get_rng_state()
    path = write_checkpoint(tmp_path, capture(12, network, optimiser, counters))

    again, other_optimiser = nn.Linear(5, 2), torch.optim.Adam(nn.Linear(5, 2).parameters())
    again.load_state_dict(read_networks(path))
    state = read_state(path)
    other_optimiser.load_state_dict(state["optimiser"])

    assert all(map(torch.equal, again.state_dict().values(), network.state_dict().values()))
    moments = optimiser.state_dict()["state"][0]["exp_avg"]
    assert torch.equal(other_optimiser.state_dict()["state"][0]["exp_avg"], moments)
    assert torch.equal(state["torch_random"], torch_random)
    whole = read_checkpoint(path)
    assert (whole.step, whole.counters) == (12, counters)
    torch.rand(3)
    restore_random_states(whole.state)
    assert torch.equal(torch.get_rng_state(), torch_random)


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


def keep(folder: Path, *steps: int) -> list[Path]:
    network, optimiser = trained_network()
    return [
        write_checkpoint(folder, capture(step, network, optimiser, {"updates": step}))
        for step in steps
    ]


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


@pytest.mark.parametrize("harm", [flip_a_bit, truncate, Path.unlink])
@pytest.mark.parametrize("name", ["networks.safetensors", "state.pt"])
def test_a_damaged_checkpoint_is_passed_over_and_set_aside(
    harm: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    keep(tmp_path, 1, 2, 3)
    harm(tmp_path / "update-000000003" / name)
    told: list[tuple[Path, str]] = []
    whole = read_newest_whole(tmp_path, lambda path, error: told.append((path, str(error))))
    assert whole is not None
    assert whole.step == 2
    ((path, sentence),) = told
    assert path.name == "update-000000003"
    assert str(path) in sentence
    assert (tmp_path / "damaged-update-000000003").is_dir()
    assert find_checkpoint(tmp_path).name == "update-000000002"
    keep(tmp_path, 3)
    assert find_checkpoint(tmp_path).name == "update-000000003"


@pytest.mark.parametrize("content", [b"", b"{", b"{}"])
def test_a_manifest_that_says_nothing_is_damage_too(content: bytes, tmp_path: Path) -> None:
    first, second = keep(tmp_path, 1, 2)
    (second / "manifest.json").write_bytes(content)
    whole = read_newest_whole(tmp_path, lambda *_: None)
    assert whole is not None
    assert whole.step == 1
    flip_a_bit(first / "state.pt")
    assert read_newest_whole(tmp_path, lambda *_: None) is None
    assert list_checkpoints(tmp_path) == []


def test_a_checkpoint_without_a_manifest_is_damage_too(tmp_path: Path) -> None:
    _, second = keep(tmp_path, 1, 2)
    (second / "manifest.json").unlink()
    told: list[str] = []
    whole = read_newest_whole(tmp_path, lambda path, _: told.append(path.name))
    assert whole is not None
    assert whole.step == 1
    assert told == [second.name]
    assert not second.exists()


def test_weights_that_are_no_numbers_are_not_gone_on_from(tmp_path: Path) -> None:
    keep(tmp_path, 1)
    network, optimiser = trained_network()
    network.weight.data[0, 1] = torch.nan
    write_checkpoint(tmp_path, capture(2, network, optimiser, {"updates": 2}))
    told: list[str] = []
    whole = read_newest_whole(tmp_path, lambda _, error: told.append(str(error)))
    assert whole is not None
    assert whole.step == 1
    (sentence,) = told
    assert "are not numbers" in sentence


def test_a_state_that_torch_cannot_load_is_no_damage_but_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = keep(tmp_path, 1)

    def of_another_version(*_: object, **__: object) -> None:
        raise pickle.UnpicklingError("unsupported opcode")

    monkeypatch.setattr(checkpoints.torch, "load", of_another_version)
    with pytest.raises(TrainingError, match=r"cannot load it.*unsupported opcode"):
        read_newest_whole(tmp_path, lambda *_: None)
    assert path.is_dir()


def test_of_what_only_a_resume_needs_the_newest_two_stay(tmp_path: Path) -> None:
    keep(tmp_path, 1, 2, 3, 4, 5, 6)
    network, optimiser = trained_network()
    write_best(tmp_path, capture(2, network, optimiser, {}))
    thin(tmp_path, frozenset({3, 6}))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best-000000002",
        "best.json",
        *(f"update-{step:09d}" for step in (3, 4, 5, 6)),
    ]


def test_a_thinning_that_is_cut_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path, 1, 2, 3)

    def cut(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", cut)
        with pytest.raises(Killed):
            thin(tmp_path, frozenset())
    assert [path.name[-1] for path in list_checkpoints(tmp_path)] == ["2", "3"]
    keep(tmp_path, 4)
    assert not list(tmp_path.glob(".*"))


def test_an_old_best_whose_deletion_is_cut_is_no_damaged_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, optimiser = trained_network()

    def cut_in_between(path: Path) -> None:
        (path / "manifest.json").unlink()
        raise Killed

    for step in (1, 2):
        write_best(tmp_path, capture(step, network, optimiser, {"updates": step}))
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", cut_in_between)
        with pytest.raises(Killed):
            write_best(tmp_path, capture(3, network, optimiser, {"updates": 3}))
    for best in tmp_path.glob("best-*"):
        assert (best / "manifest.json").exists()


def test_the_best_one_serves_a_resume_where_no_other_is_as_new(tmp_path: Path) -> None:
    network, optimiser = trained_network()
    keep(tmp_path, 1, 3)
    for step in (2, 3, 5):
        write_best(tmp_path, capture(step, network, optimiser, {"updates": step}))
    steps: list[int] = []
    while whole := read_newest_whole(tmp_path, lambda path, _: steps.append(step_of(path))):
        steps.append(whole.step)
        newest = [path for path in tmp_path.iterdir() if path.name.endswith(f"{whole.step}")]
        shutil.rmtree(max(newest, key=lambda path: path.name))
    assert steps == [5, 3, 3, 1]
