"""The random agent, and what all agents offer that learn nothing."""

import pytest
import torch

from rlmaster.agent_choices import RandomAgent
from rlmaster.agents.base import build_agent
from rlmaster.agents.random_agent import UniformAgent
from rlmaster.embedder_choices import Autoencoder
from rlmaster.errors import TrainingError
from rlmaster.experiment import Atari, Experiment
from rlmaster.replay.batches import TransitionBatch

EXPERIMENT = Experiment(
    name="x",
    environment=Atari(game="Pong"),
    embedder=Autoencoder(latent_dim=4, channels=(2, 2, 2)),
    agent=RandomAgent(),
)


def seen(count: int) -> torch.Tensor:
    return torch.zeros(count, 4, 1, 1, dtype=torch.uint8)


def test_every_action_of_the_game_is_as_likely():
    torch.manual_seed(0)

    actions = build_agent(EXPERIMENT).act(seen(60_000))

    assert actions.shape == (60_000,)
    assert actions.dtype == torch.int64
    counts = torch.bincount(actions, minlength=6)
    assert len(counts) == 6
    # Standard deviation of a count: sqrt(60,000 * 1/6 * 5/6) = 91.
    assert bool(((counts - 10_000).abs() < 5 * 91).all())


def test_the_same_random_state_gives_the_same_actions():
    agent = build_agent(EXPERIMENT)
    state = torch.get_rng_state()
    first, second = agent.act(seen(50)), agent.act(seen(50))
    torch.set_rng_state(state)

    assert torch.equal(agent.act(seen(50)), first)
    assert not torch.equal(first, second)


def test_it_has_nothing_to_learn():
    agent = build_agent(EXPERIMENT)

    assert isinstance(agent, UniformAgent)
    assert not agent.learns
    assert list(agent.head_parameters()) == []
    assert not any(agent.target_moves(update) for update in range(1, 100))
    agent.move_target(wholly=True)
    nothing = torch.zeros(1)
    with pytest.raises(TrainingError, match="UniformAgent learns nothing, so it has no loss"):
        agent.loss(TransitionBatch(*[nothing] * 7))


def test_an_experiment_without_an_agent_builds_none():
    without = EXPERIMENT.model_copy(update={"agent": None})

    with pytest.raises(TrainingError, match="this experiment has no agent; it is about the emb"):
        build_agent(without)


def test_a_class_that_is_not_there_is_named():
    class Lost(RandomAgent):
        """An agent whose network was never written."""

        builds = "rlmaster.agents.nowhere:LostAgent"

    with pytest.raises(
        TrainingError, match=r"agent\.builds: 'rlmaster\.agents\.nowhere:LostAgent'"
    ):
        build_agent(EXPERIMENT.model_copy(update={"agent": Lost()}))
