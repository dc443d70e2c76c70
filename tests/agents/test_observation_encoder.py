"""The encoder of an agent: views of an observation, and the copy that targets are made with."""

from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rlmaster.agent_choices import DQN
from rlmaster.agents.base import build_agent
from rlmaster.agents.encoder import ObservationEncoder, follow
from rlmaster.agents.value_agent import ValueBasedAgent
from rlmaster.embedder_choices import Autoencoder, Embedder, PixelEncoder
from rlmaster.embedders.base import BaseEmbedder, build_embedder
from rlmaster.embedders.drawing import INPUT_GAIN
from rlmaster.experiment import Atari, EncoderTraining, Experiment

DRAWN = Autoencoder(latent_dim=5, channels=(8, 8, 8))


def experiment_of(embedder: Embedder = DRAWN, **encoder) -> Experiment:
    return Experiment(
        name="x",
        environment=Atari(game="Pong"),
        embedder=embedder,
        agent=DQN(hidden_units=4),
        encoder=EncoderTraining(**encoder),
    )


def encoder_of(embedder: Embedder = DRAWN, **encoder) -> ObservationEncoder:
    experiment = experiment_of(embedder, **encoder)
    torch.manual_seed(0)
    return ObservationEncoder(build_embedder(experiment), experiment)


def observed(count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, 4, 84, 84), generator=generator, dtype=torch.uint8)


# ------------------------------------------------------------------------------------------ views


@pytest.mark.parametrize(
    ("stacked_frames", "views"),
    [
        (1, [[0], [1], [2], [3]]),
        (2, [[0, 1], [2, 3]]),
        (3, [[1, 2, 3]]),
        (4, [[0, 1, 2, 3]]),
    ],
)
def test_latents_are_those_of_all_frames_that_fit_oldest_first(stacked_frames, views):
    encoder = encoder_of(DRAWN.model_copy(update={"stacked_frames": stacked_frames}))
    observation = observed()

    latents = encoder(observation)

    parts = [encoder.embedder.embed(observation[:, frames]) for frames in views]
    assert latents.shape == (3, encoder.latent_dim) == (3, 5 * len(views))
    assert torch.allclose(latents, torch.cat(parts, 1), atol=1e-6)
    apart = [part for one in range(len(parts)) for part in parts[:one] + parts[one + 1 :]]
    assert not any(torch.allclose(latents[:, :5], part) for part in apart[: len(parts) - 1])


@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 2))
def test_a_frame_changes_the_latent_of_its_own_view_and_of_its_own_observation(size, frame, row):
    encoder = encoder_of(DRAWN.model_copy(update={"stacked_frames": size}))
    observation = observed()
    before = encoder(observation).unflatten(1, (encoder.num_views, 5))
    observation[row, frame] = 255 - observation[row, frame]

    after = encoder(observation).unflatten(1, (encoder.num_views, 5))

    differs = (~torch.isclose(before, after, atol=1e-6)).any(2).nonzero().tolist()
    view = (frame - (4 - encoder.num_views * size)) // size
    assert differs == ([[row, view]] if view >= 0 else [])


class Brightness(Embedder):
    """An embedder of a user's own, which says nothing of stacked frames."""

    builds: ClassVar[str] = "test_observation_encoder:BrightnessNetwork"

    latent_dim: int = 2


class BrightnessNetwork(BaseEmbedder):
    """Mean brightness of all frames; what it is measured against is made in `prepare`."""

    def __init__(self, specification: Brightness, *, num_actions: int) -> None:
        del num_actions
        super().__init__(specification.latent_dim)
        self.scale = nn.Parameter(torch.ones(specification.latent_dim))

    def prepare(self, frames: Tensor) -> None:
        self.register_buffer("usual", frames.float().mean()[None])

    def embed(self, observation: Tensor) -> Tensor:
        return observation.float().mean((1, 2, 3))[:, None] * self.scale - self.usual

    def loss(self, batch):
        raise NotImplementedError

    def preview(self, batch):
        raise NotImplementedError


def test_an_embedder_that_knows_no_stack_sees_all_frames_at_once():
    encoder = encoder_of(Brightness())
    encoder.embedder.prepare(torch.zeros(1, 1, 84, 84, dtype=torch.uint8))
    observation = observed()

    assert encoder.num_views == 1
    assert encoder(observation)[:, 0].tolist() == pytest.approx(
        observation.float().mean((1, 2, 3)).tolist()
    )


@pytest.mark.parametrize(
    ("embedder", "gain"),
    [(PixelEncoder(channels=(2, 2, 2), latent_dim=98), 1), (DRAWN, INPUT_GAIN)],
)
def test_frames_go_into_the_networks_as_shares_of_white(embedder, gain):
    encoder, seen = encoder_of(embedder), []
    first = next(module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    observation = observed()

    encoder(observation)

    (shares,) = seen
    assert torch.allclose(shares / gain, observation.reshape(shares.shape) / 255)


# -------------------------------------------------------------------------------------- training


def test_what_are_latents_already_stay_as_they_are():
    latents = torch.randn(3, 20)

    assert encoder_of()(latents) is latents


@pytest.mark.parametrize(
    ("losses", "trains"),
    [("td", True), ("both", True), ("representation", False), ("none", False)],
)
def test_a_gradient_reaches_the_weights_where_the_agents_loss_may_change_them(losses, trains):
    encoder = encoder_of(losses=losses)

    assert encoder(observed()).requires_grad is encoder.td_trains is trains
    with torch.no_grad():
        assert not encoder(observed()).requires_grad


def test_thawing_lets_the_gradient_through():
    encoder = encoder_of()
    encoder.td_trains = False
    assert not encoder(observed()).requires_grad
    encoder.td_trains = True
    assert encoder(observed()).requires_grad


class Counting(Embedder):
    """An embedder of a user's own, which remembers what its batches were like."""

    builds: ClassVar[str] = "test_observation_encoder:CountingNetwork"


class CountingNetwork(BaseEmbedder):
    """Normalises by the batch, and drops out."""

    def __init__(self, specification: Counting, *, num_actions: int) -> None:
        super().__init__(latent_dim=4)
        self.normalise = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)

    def embed(self, observation: Tensor) -> Tensor:
        return self.drop(self.normalise(observation.float().mean((2, 3)) / 255))

    def loss(self, batch):
        raise NotImplementedError

    def preview(self, batch):
        raise NotImplementedError


@pytest.mark.parametrize("losses", ["td", "both", "representation", "none"])
def test_looking_changes_nothing_where_the_agents_loss_may_not(losses):
    encoder = encoder_of(Counting(), losses=losses)
    target = encoder.target_copy()

    def look(network: ObservationEncoder) -> bool:
        """Tell whether what is seen changes how it sees."""
        before = {name: value.clone() for name, value in network.state_dict().items()}
        network.train()
        first, second = (network(observed(32)) for _ in range(2))
        state = network.state_dict()
        is_same = all(torch.equal(state[name], before[name]) for name in before)
        assert is_same is torch.equal(first, second)
        return not is_same

    assert look(encoder) is encoder.td_trains
    assert not look(target)
    encoder.td_trains = False
    assert not look(encoder)
    encoder.td_trains = True
    assert look(encoder)


# ---------------------------------------------------------------------------------------- targets


def test_a_target_copy_is_of_its_own_and_learns_nothing():
    encoder = encoder_of()
    target, observation = encoder.target_copy(), observed()
    before = target(observation)

    assert torch.equal(before, encoder(observation))
    assert not before.requires_grad
    for weight in encoder.parameters():
        nn.init.normal_(weight)

    assert torch.equal(target(observation), before)
    assert not torch.equal(encoder(observation), before)
    assert all(weight.requires_grad for weight in encoder.parameters())


@pytest.mark.parametrize("rate", [0.25, 1.0])
def test_a_target_follows_by_its_share_of_the_way(rate):
    online, target = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    nn.init.constant_(online.weight, 5.0)
    online.running_mean = torch.tensor([1.0, 2.0, 3.0])

    follow(target, online, rate)

    assert target.weight.tolist() == [1 + 4 * rate] * 3
    assert target.running_mean.tolist() == [1, 2, 3]
    assert online.weight.tolist() == [5.0] * 3


def test_wholly_is_the_same_to_the_last_bit():
    online, target = encoder_of(), encoder_of()
    for weight in online.parameters():
        nn.init.normal_(weight, std=1e3)

    follow(target, online, 1.0)

    state = target.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in online.state_dict().items())


def test_a_target_takes_over_a_buffer_that_the_embedder_makes_as_it_looks():
    agent = build_agent(experiment_of(Brightness()))
    agent.encoder.embedder.prepare(torch.full((2, 1, 84, 84), 9, dtype=torch.uint8))

    agent.move_target(wholly=True)

    assert isinstance(agent, ValueBasedAgent)
    target = agent.target_encoder
    assert torch.equal(target(observed()), agent.encoder(observed()))
    agent.encoder.embedder.usual.zero_()
    assert target.embedder.usual.item() == 9
