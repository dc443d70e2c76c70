"""The autoencoder's own: what it weighs, and what it draws."""

from typing import Any

import pytest
import torch
from torch import Tensor
from toy_sequences import BRIGHT, GREY, frames_with_a_dot, sequences_with_a_dot

from rlmaster.embedder_choices import Autoencoder
from rlmaster.embedders.autoencoder import AutoencoderEmbedder
from rlmaster.embedders.foreground import foreground
from rlmaster.experiment import EmbedderTraining
from rlmaster.replay.batches import SequenceBatch
from rlmaster.training.update import LOSS, make_optimiser, make_update


def built(**fields: Any) -> AutoencoderEmbedder:
    torch.manual_seed(0)
    specification = Autoencoder(latent_dim=32, channels=(8, 8, 8), **fields)
    embedder = AutoencoderEmbedder(specification, num_actions=4)
    embedder.prepare(frames_with_a_dot(64))
    return embedder


def test_the_background_is_what_hardly_ever_changes() -> None:
    assert torch.equal(built().background, torch.full((1, 1, 84, 84), GREY / 255))


def test_foreground_is_the_dot() -> None:
    frames = frames_with_a_dot(3, seed=5)
    assert torch.equal(foreground(frames.float() / 255, built().background), frames == BRIGHT)


@pytest.mark.parametrize(("loss", "error"), [("squared_error", 0.25), ("absolute_error", 0.5)])
def test_loss_weighs_foreground_pixels_more(loss: str, error: float) -> None:
    embedder = built(loss=loss, foreground_weight=9.0)
    frames = frames_with_a_dot(1)
    off = frames.float() / 255 + 0.5 - embedder.background  # every pixel is off by 0.5
    embedder.decoder.forward = lambda _: off  # type: ignore[method-assign]
    share = 16 / 84**2
    expected = error * (1 + 9.0 * share)
    assert float(embedder.loss(SequenceBatch.of_frames(frames)).total) == pytest.approx(
        expected, rel=1e-5
    )


def test_it_draws_all_of_its_frames_and_shows_the_newest() -> None:
    embedder = built(stacked_frames=4, foreground_weight=0.0)
    frames = frames_with_a_dot(8).view(2, 4, 84, 84)
    drawn = torch.rand(2, 4, 84, 84)
    embedder.decoder.forward = lambda _: drawn - embedder.background  # type: ignore[method-assign]
    batch = SequenceBatch.of_frames(frames)
    error = (drawn - frames / 255).square().mean()
    assert float(embedder.loss(batch).total) == pytest.approx(float(error), rel=1e-5)
    preview = embedder.preview(batch)
    assert torch.equal(preview.target, frames[:, 3:] / 255)
    assert torch.allclose(preview.reconstruction, drawn[:, 3:])


def test_frames_from_before_the_episode_do_not_count() -> None:
    embedder = built(stacked_frames=4, motion_weight=3.0, worst_pixel_weight=0.5)
    batch = sequences_with_a_dot(2, embedder.sequence_length)
    batch.frames[1, :3], batch.mask[1, :3] = 0, False
    before = embedder.loss(batch).total
    drawn = embedder.decoder.forward

    def otherwise_there(code: Tensor) -> Tensor:
        frames = drawn(code)
        return torch.cat([frames[:1], torch.cat([frames[1:, :2] + 9, frames[1:, 2:]], 1)])

    embedder.decoder.forward = otherwise_there  # type: ignore[method-assign]
    assert torch.equal(embedder.loss(batch).total, before)


@pytest.mark.learns
def test_latents_of_several_frames_tell_where_the_dot_was() -> None:
    embedder = built(stacked_frames=2)
    optimiser = make_optimiser(embedder, EmbedderTraining(learning_rate=3e-3))
    update = make_update(embedder, optimiser, torch.float32, compiled=False)
    batches = sequences_with_a_dot(128, 2).split(16)
    losses = [float(update(batches[number % 8])[LOSS]) for number in range(160)]
    assert sum(losses[-8:]) < 0.3 * sum(losses[:8])


def test_latents_are_squashed() -> None:
    assert built().embed(frames_with_a_dot(8)).abs().max() <= 1


def test_it_learns_in_bfloat16_too() -> None:
    embedder = built()
    optimiser = make_optimiser(embedder, EmbedderTraining(learning_rate=3e-3))
    update = make_update(embedder, optimiser, torch.bfloat16, compiled=False)
    batches = SequenceBatch.of_frames(frames_with_a_dot(128)).split(16)
    losses = [float(update(batches[number % 8])[LOSS]) for number in range(60)]
    assert sum(losses[-8:]) < 0.5 * sum(losses[:8])
