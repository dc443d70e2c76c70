"""The autoencoder: what it weighs, what it returns, and that it learns."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from rlmaster.embedders.autoencoder import AutoencoderEmbedder
from rlmaster.embedders.base import BaseEmbedder, FrameBatch, build_embedder, undisturbed
from rlmaster.embedders.foreground import foreground
from rlmaster.errors import TrainingError
from rlmaster.experiment import Atari, Autoencoder, EmbedderTraining, Experiment
from rlmaster.training.update import make_optimiser, make_update


def frames_with_a_dot(count: int, seed: int = 0) -> Tensor:
    """Grey frames with a bright dot somewhere, `(count, 1, 84, 84)`."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.full((count, 1, 84, 84), 87, dtype=torch.uint8)
    rows, columns = torch.randint(10, 70, (2, count), generator=generator)
    for number, (row, column) in enumerate(zip(rows, columns, strict=True)):
        frames[number, 0, row : row + 4, column : column + 4] = 236
    return frames


def built(**fields: object) -> AutoencoderEmbedder:
    torch.manual_seed(0)
    embedder = AutoencoderEmbedder(Autoencoder(latent_dim=32, channels=(8, 8, 8), **fields))
    embedder.prepare(frames_with_a_dot(64))
    return embedder


def test_the_background_is_what_hardly_ever_changes() -> None:
    assert torch.equal(built().background, torch.full((1, 1, 84, 84), 87 / 255))


def test_foreground_is_the_dot() -> None:
    frames = frames_with_a_dot(3, seed=5)
    assert torch.equal(foreground(frames.float() / 255, built().background), frames == 236)


@pytest.mark.parametrize(("loss", "error"), [("squared_error", 0.25), ("absolute_error", 0.5)])
def test_loss_weighs_foreground_pixels_more(loss: str, error: float) -> None:
    embedder = built(loss=loss, foreground_weight=9.0)
    frames = frames_with_a_dot(1)
    target = frames.float() / 255
    embedder._draw = lambda _: target + 0.5  # type: ignore[method-assign]  # every pixel off by 0.5
    share = 16 / 84**2
    expected = error * (1 + 9.0 * share)
    assert float(embedder.loss(FrameBatch(frames)).total) == pytest.approx(expected, rel=1e-5)


def test_shapes_and_ranges() -> None:
    embedder = built()
    stack = frames_with_a_dot(8).view(2, 4, 84, 84)
    latent = embedder.embed(stack)
    assert latent.shape == (2, 32)
    assert latent.abs().max() <= 1
    preview = embedder.preview(FrameBatch(stack[:, -1:]))
    assert preview.reconstruction.shape == preview.target.shape == (2, 1, 84, 84)
    assert 0 <= preview.reconstruction.min() <= preview.reconstruction.max() <= 1


def test_only_the_newest_frame_is_embedded() -> None:
    embedder = built()
    stack = frames_with_a_dot(8).view(2, 4, 84, 84)
    changed = stack.clone()
    changed[:, :3] = 0
    assert torch.equal(embedder.embed(stack), embedder.embed(changed))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_it_learns_to_draw_the_dot(precision: torch.dtype) -> None:
    embedder = built()
    optimiser = make_optimiser(embedder, EmbedderTraining(learning_rate=3e-3))
    update = make_update(embedder, optimiser, precision, compiled=False)
    frames = frames_with_a_dot(256)
    losses = [float(update(FrameBatch(frames[k * 32 % 256 :][:32]))) for k in range(120)]
    assert sum(losses[-8:]) < 0.5 * sum(losses[:8])


def test_the_experiment_names_what_is_built() -> None:
    experiment = Experiment(
        name="x", environment=Atari(game="Pong"), embedder=Autoencoder(latent_dim=7)
    )
    embedder = build_embedder(experiment)
    assert isinstance(embedder, AutoencoderEmbedder)
    assert embedder.latent_dim == 7


class Misnamed(Autoencoder):
    """Names a class that is not there."""

    builds: ClassVar[str] = "no_such_module:NoEmbedder"


def test_a_class_that_is_not_there_is_a_sentence() -> None:
    experiment = Experiment(name="x", environment=Atari(game="Pong"), embedder=Misnamed())
    with pytest.raises(TrainingError, match=r"embedder\.builds: 'no_such_module:NoEmbedder'"):
        build_embedder(experiment)


def test_looking_at_an_embedder_leaves_modes_gradients_and_random_numbers() -> None:
    embedder: BaseEmbedder = built()
    embedder.train()
    embedder.get_submodule("encoder").eval()  # as one whose weights are frozen
    modes = [module.training for module in embedder.modules()]
    random = torch.get_rng_state()

    def look() -> None:
        with undisturbed(embedder):
            assert not torch.is_grad_enabled()
            assert not any(module.training for module in embedder.modules())
            torch.rand(3)
            raise KeyError

    with pytest.raises(KeyError):
        look()
    assert torch.is_grad_enabled()
    assert [module.training for module in embedder.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
