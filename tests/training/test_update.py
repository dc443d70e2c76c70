"""The update: whatever makes it fast, it computes the same."""

from pathlib import Path

import pytest
import torch

from rlmaster.embedders.autoencoder import AutoencoderEmbedder
from rlmaster.embedders.base import EmbedderLoss
from rlmaster.experiment import Autoencoder, EmbedderTraining
from rlmaster.replay.batches import SequenceBatch
from rlmaster.training import update as updates
from rlmaster.training.update import (
    LOSS,
    Compilation,
    choose_compilation,
    choose_precision,
    compilation_by_trial,
    make_optimiser,
    make_update,
    to_channels_last,
)

CPU = torch.device("cpu")


def frames() -> torch.Tensor:
    return torch.randint(
        0, 256, (8, 1, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def embedder() -> AutoencoderEmbedder:
    torch.manual_seed(0)
    built = AutoencoderEmbedder(Autoencoder(latent_dim=8, channels=(4, 4, 4)), num_actions=6)
    built.prepare(frames())
    return built


def losses(*, compiled: bool = False, channels_last: bool = True, precision: torch.dtype) -> list:
    network = embedder()
    if channels_last:
        to_channels_last(network)
    optimiser = make_optimiser(network, EmbedderTraining(learning_rate=1e-3))
    update = make_update(network, optimiser, precision, compiled=compiled)
    return [float(update(SequenceBatch.of_frames(frames()))[LOSS]) for _ in range(4)]


def slow_losses() -> list[float]:
    """The same by hand: no fusion, no layout, no mixed precision."""
    network = embedder()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, foreach=False, fused=False)
    values = []
    for _ in range(4):
        loss = network.loss(SequenceBatch.of_frames(frames())).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(float(loss.detach()))
    return values


def test_channels_last_and_fused_adam_compute_the_same() -> None:
    assert losses(precision=torch.float32) == pytest.approx(slow_losses(), rel=1e-4)


def test_bfloat16_is_close() -> None:
    assert losses(precision=torch.bfloat16) == pytest.approx(slow_losses(), rel=0.05)


@pytest.mark.learns
@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile cannot link from such a path")
def test_compiled_computes_the_same() -> None:
    compiled = losses(compiled=True, precision=torch.float32)
    assert compiled == pytest.approx(slow_losses(), rel=1e-4)


def test_to_channels_last_changes_the_layout_not_the_weights() -> None:
    network, same = embedder(), embedder()
    to_channels_last(network)
    for changed, kept in zip(network.parameters(), same.parameters(), strict=True):
        assert torch.equal(changed, kept)
    layers = (each.get_parameter("encoder.convolutions.2.weight") for each in (network, same))
    layouts = [weight.is_contiguous(memory_format=torch.channels_last) for weight in layers]
    assert layouts == [True, False]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2", torch.float32),
        ("fpu avx512_bf16", torch.bfloat16),
        ("amx_bf16", torch.bfloat16),
    ],
)
def test_precision_follows_the_processor(
    flags: str, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = f"processor : 0\nflags\t\t: {flags}\n"
    monkeypatch.setattr(Path, "read_text", lambda _self: lines)
    assert choose_precision("auto", CPU) is expected
    assert choose_precision("float32", CPU) is torch.float32


@pytest.mark.parametrize(
    ("choice", "number_of_updates", "fused_s", "expected"),
    [
        ("always", 10, 9.0, True),
        ("never", 10**6, 0.1, False),
        ("auto", 10, 0.1, False),
        ("auto", 10**6, 0.1, True),
        ("auto", 10**6, 9.0, False),
    ],
)
def test_long_runs_take_the_faster_of_both(
    choice: str,
    number_of_updates: int,
    fused_s: float,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(updates.torch, "__file__", "/usr/lib/torch/__init__.py")
    monkeypatch.setattr(
        updates, "make_update", lambda *_, compiled: lambda _batch: fused_s if compiled else 1.0
    )
    monkeypatch.setattr(updates, "_seconds_per_update", lambda update, _device: update())
    training = EmbedderTraining(updates=number_of_updates, compile=choice)
    batch = SequenceBatch.of_frames(frames())
    chosen = choose_compilation(embedder(), training, torch.float32, batch)
    assert chosen == Compilation(expected)


def test_a_computer_that_becomes_busy_in_a_trial_does_not_decide_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(updates.torch, "__file__", "/usr/lib/torch/__init__.py")
    busy = iter([1.0, *[3.0] * 100])  # from the second measurement on
    monkeypatch.setattr(
        updates, "_seconds_per_update", lambda update, _device: update() * next(busy)
    )

    def chosen(compiled_s: float) -> bool:
        return compilation_by_trial(
            lambda compiled: lambda: compiled_s if compiled else 1.0, CPU
        ).wanted

    assert chosen(0.7)
    assert not chosen(1.3)


def test_a_machine_that_cannot_compile_trains_eagerly_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_compiler(*_: object) -> None:
        raise RuntimeError("No working C++ compiler" + " whatsoever" * 100 + "\n\nCommand: g++")

    monkeypatch.setattr(updates.torch, "compile", lambda _loss, **_: no_compiler)
    monkeypatch.setattr(updates.torch, "__file__", "/usr/lib/torch/__init__.py")
    training = EmbedderTraining(updates=10**6)
    chosen = choose_compilation(
        embedder(), training, torch.float32, SequenceBatch.of_frames(frames())
    )
    assert not chosen.wanted
    assert chosen.failure.startswith("RuntimeError: No working C++ compiler whatsoever")
    assert chosen.failure.endswith(" whatsoever ...")
    assert len(chosen.failure) <= updates.REASON_CHARACTERS
    assert "Command: g++" in capsys.readouterr().err


def test_where_the_compiler_would_stumble_at_a_space_nothing_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was tried")

    monkeypatch.setattr(updates.torch, "__file__", "/home/my project/torch/__init__.py")
    monkeypatch.setattr(updates, "_seconds_per_update", refuse)
    training = EmbedderTraining(updates=10**6)
    chosen = choose_compilation(
        embedder(), training, torch.float32, SequenceBatch.of_frames(frames())
    )
    assert not chosen.wanted
    assert "/home/my project/torch, and stumbles at the space" in chosen.failure


def test_a_trial_leaves_networks_and_draws_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates.torch, "compile", lambda loss, **_: loss)
    monkeypatch.setattr(updates.torch, "__file__", "/usr/lib/torch/__init__.py")
    network, same = embedder(), embedder()
    draws = torch.get_rng_state()
    training = EmbedderTraining(updates=10**6)
    batch = SequenceBatch.of_frames(frames())
    assert choose_compilation(network, training, torch.float32, batch).failure == ""
    assert all(map(torch.equal, network.parameters(), same.parameters()))
    assert torch.equal(torch.get_rng_state(), draws)


class PartedEmbedder(AutoencoderEmbedder):
    """Tells a part of its loss."""

    def loss(self, batch: SequenceBatch) -> EmbedderLoss:
        total = super().loss(batch).total
        return EmbedderLoss(total, {"half": total.detach() / 2})


def test_an_update_returns_the_loss_and_its_parts_for_nobody_to_wait_for() -> None:
    torch.manual_seed(0)
    network = PartedEmbedder(Autoencoder(latent_dim=8, channels=(4, 4, 4)), num_actions=6)
    optimiser = make_optimiser(network, EmbedderTraining())
    update = make_update(network, optimiser, torch.float32, compiled=False)
    losses = update(SequenceBatch.of_frames(frames()))
    assert losses.keys() == {LOSS, "half"}
    assert float(losses["half"]) == pytest.approx(float(losses[LOSS]) / 2)
    assert not any(loss.requires_grad for loss in losses.values())
