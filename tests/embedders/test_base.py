"""What every embedder has: it is built by name, its checkpoints load, it can be looked at."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from rlmaster.embedders.autoencoder import AutoencoderEmbedder
from rlmaster.embedders.base import (
    build_embedder,
    channels_innermost,
    load_networks,
    undisturbed,
)
from rlmaster.errors import TrainingError
from rlmaster.experiment import Atari, Autoencoder, Experiment


def built(latent_dim: int = 8) -> AutoencoderEmbedder:
    specification = Autoencoder(latent_dim=latent_dim, channels=(4, 4, 4))
    return AutoencoderEmbedder(specification, num_actions=6)


def test_the_experiment_names_what_is_built() -> None:
    specification = Autoencoder(latent_dim=7, inverse_dynamics_weight=1.0)
    experiment = Experiment(name="x", environment=Atari(game="Pong"), embedder=specification)
    embedder = build_embedder(experiment)
    assert isinstance(embedder, AutoencoderEmbedder)
    assert embedder.latent_dim == 7
    assert embedder.action_head is not None
    assert embedder.action_head(torch.zeros(2, 7), torch.zeros(2, 7)).shape == (2, 6)  # Pong's


class Misnamed(Autoencoder):
    """Names a class that is not there."""

    builds: ClassVar[str] = "no_such_module:NoEmbedder"


def test_a_class_that_is_not_there_is_a_sentence() -> None:
    experiment = Experiment(name="x", environment=Atari(game="Pong"), embedder=Misnamed())
    with pytest.raises(TrainingError, match=r"embedder\.builds: 'no_such_module:NoEmbedder'"):
        build_embedder(experiment)


def test_looking_at_an_embedder_leaves_modes_gradients_and_random_numbers() -> None:
    embedder = built()
    embedder.train()
    embedder.encoder.eval()  # as one whose weights are frozen
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


def test_buffers_that_only_preparing_makes_come_from_the_checkpoint() -> None:
    prepared, fresh = built(), built()
    prepared.register_buffer("median", torch.arange(3))
    prepared.encoder.register_buffer("scale", torch.tensor(0.25))
    load_networks(fresh, prepared.state_dict())
    state = fresh.state_dict()
    assert state.keys() == prepared.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in prepared.state_dict().items())


@pytest.mark.filterwarnings("ignore:.*meta parameter.* is a no-op:UserWarning")
def test_buffers_are_made_where_the_networks_are() -> None:
    prepared, fresh = built(), built().to("meta")  # in place of a GPU
    prepared.encoder.register_buffer("scale", torch.tensor(0.25))
    load_networks(fresh, prepared.state_dict())
    assert fresh.encoder.get_buffer("scale").is_meta


@pytest.mark.parametrize("harm", ["another size", "a layer too few", "a layer too many"])
def test_other_networks_are_refused_in_a_sentence(harm: str) -> None:
    other = built(latent_dim=9 if harm == "another size" else 8)
    if harm == "a layer too few":
        del other.decoder
    elif harm == "a layer too many":
        other.head = nn.Linear(2, 2)
    with pytest.raises(TrainingError, match="other networks than AutoencoderEmbedder builds"):
        load_networks(built(), other.state_dict())


def test_only_an_embedder_is_given_buffers_that_it_has_not_made_yet() -> None:
    agent = nn.ModuleDict({"embedder": built(), "head": nn.Linear(2, 2)})
    looked = {**agent.state_dict(), "embedder.decoder.seen": torch.ones(3)}

    load_networks(agent, looked)

    assert torch.equal(agent["embedder"].decoder.seen, torch.ones(3))
    with pytest.raises(TrainingError, match="other networks"):
        load_networks(agent, {**looked, "head.noise": torch.ones(2)})


def test_frames_stay_as_they_are_where_nothing_is_compiled() -> None:
    frames = torch.zeros(2, 4, 84, 84, dtype=torch.uint8)
    assert channels_innermost(frames) is frames


@pytest.mark.learns
@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile cannot link from such a path")
@pytest.mark.parametrize("stacked_frames", [1, 2, 4])
def test_compiled_the_bytes_of_a_pixel_lie_in_a_row_and_are_the_same(stacked_frames: int) -> None:
    rows = torch.randint(256, (3, 5, 84, 84), dtype=torch.uint8)  # a view, as a replay returns it
    frames = rows[:, :stacked_frames]
    made = torch.compile(channels_innermost)(frames)
    assert torch.equal(made, frames)
    laid_out = made.is_contiguous(memory_format=torch.channels_last)
    assert laid_out == (stacked_frames == 4)
