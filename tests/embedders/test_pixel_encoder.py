"""The pixel encoder: what it sees, that others' losses reach it, and that it has none itself."""

from typing import Any

import pytest
import torch
from torch.nn import functional
from toy_sequences import NUM_ACTIONS, sequences_with_a_dot

from rlmaster import embedder_choices
from rlmaster.agent_choices import DQN
from rlmaster.embedders.base import build_embedder
from rlmaster.embedders.pixel_encoder import PixelEncoder
from rlmaster.errors import SpecificationError, TrainingError
from rlmaster.experiment import Atari, EncoderTraining, Experiment
from rlmaster.specification import resolve


def built(**fields: Any) -> PixelEncoder:
    torch.manual_seed(0)
    specification = embedder_choices.PixelEncoder(**fields)
    return resolve(specification.builds)(specification, num_actions=NUM_ACTIONS)


def test_left_alone_it_is_what_a_deep_q_network_has_below_its_layer_of_512_units() -> None:
    encoder, observation = built(), sequences_with_a_dot(3, 4).frames
    weights = list(encoder.parameters())
    shapes = [tuple(weight.shape) for weight in weights[::2]]
    assert shapes == [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3)]
    slow = observation / 255
    for weight, bias, stride in zip(weights[::2], weights[1::2], (4, 2, 1), strict=True):
        slow = functional.conv2d(slow, weight, bias, stride).relu()
    assert torch.allclose(encoder.embed(observation), slow.flatten(1), atol=1e-6)


@pytest.mark.parametrize("encoder", ["nature", "data_efficient", "sac_ae", "residual"])
def test_bytes_come_in_and_the_newest_are_seen_in_the_unit_interval(encoder: str) -> None:
    fields = {"projection": "linear", "latent_dim": 16, "channels": (8, 8, 8)}
    module, seen = built(encoder=encoder, stacked_frames=2, **fields), []
    module.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    observation = torch.full((1, 4, 84, 84), 7, dtype=torch.uint8)
    observation[:, 2], observation[:, 3] = 0, 255
    assert module.embed(observation).shape == (1, 16)
    assert seen[0][:, 0].unique().tolist() == [0]
    assert seen[0][:, 1].unique().tolist() == [1]
    assert seen[0].shape[1] == module.sequence_length == 2


def test_a_loss_on_its_latents_reaches_every_weight() -> None:
    encoder = built(encoder="residual", channels=(4, 4, 4), latent_dim=484)
    encoder.embed(sequences_with_a_dot(2, 4).frames).square().sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())


def test_it_refuses_to_learn_or_draw_by_itself_in_a_sentence() -> None:
    encoder, batch = built(), sequences_with_a_dot(2, 4)
    assert not encoder.draws
    with pytest.raises(TrainingError, match="no loss of its own; let an agent train it"):
        encoder.loss(batch)
    with pytest.raises(TrainingError, match="draws no frames; choose an embedder that does"):
        encoder.preview(batch)


def test_an_experiment_with_it_needs_an_agent_that_trains_it() -> None:
    fields = {
        "name": "x",
        "environment": Atari(game="Pong"),
        "embedder": embedder_choices.PixelEncoder(),
    }
    assert isinstance(build_embedder(Experiment(agent=DQN(), **fields)), PixelEncoder)
    own_loss = {"agent": DQN(), "encoder": EncoderTraining(losses="both")}
    for missing in ({}, own_loss):
        with pytest.raises(SpecificationError, match="PixelEncoder has no loss of its own"):
            Experiment(**fields, **missing)


def test_changed_defaults_keep_their_range_and_their_sentence() -> None:
    fields = embedder_choices.PixelEncoder.model_fields
    parents = embedder_choices.ConvolutionalEmbedder.model_fields
    for name in ("stacked_frames", "projection", "latent_dim", "latent_normalisation"):
        assert fields[name].description == parents[name].description
        assert fields[name].metadata == parents[name].metadata
