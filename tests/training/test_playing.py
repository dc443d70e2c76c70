"""Evaluation: whole games and raw rewards, a function of the weights, that disturbs nothing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_agent import TinyAgent, tiny_agent

from rlmaster.agent_choices import RandomAgent
from rlmaster.agents.base import build_agent
from rlmaster.atari.emulator import Emulator
from rlmaster.atari.environment import environment_seed
from rlmaster.atari.protocols import PROTOCOLS, Protocol
from rlmaster.experiment import AgentTraining, Atari, Experiment
from rlmaster.training.playing import Evaluator, Played, Returns
from rlmaster.training.seeds import seeds_from
from rlmaster.training.stopping import StopRequested

SEED = 9
SHORT = replace(PROTOCOLS["classic"], max_episode_frames=240)
WITH_LIVES = PROTOCOLS["machado2018"]


def evaluator(
    game: str = "pong",
    protocol: Protocol = SHORT,
    *,
    episodes: int = 2,
    exploration: float = 0.1,
    seed: int = SEED,
) -> Evaluator:
    return Evaluator(
        game,
        protocol,
        episodes=episodes,
        exploration=exploration,
        seed=seed,
        device=torch.device("cpu"),
    )


def nobody(_steps: int) -> None:
    """Hear of no progress."""


def stop_after(steps: int) -> Callable[[int], None]:
    def check(done: int) -> None:
        if done >= steps:
            raise StopRequested

    return check


@pytest.fixture(scope="module")
def invaders() -> tuple[TinyAgent, Evaluator, Played]:
    """Whole games of Space Invaders, which has lives, and rewards above 1.

    The shorter one is followed by the beginning of another, in which there are rewards too.
    """
    agent = tiny_agent("space_invaders")
    judge = evaluator("space_invaders", WITH_LIVES, exploration=1.0)
    return agent, judge, judge.play(agent, nobody)


def test_returns_are_of_raw_rewards_of_whole_games(
    invaders: tuple[TinyAgent, Evaluator, Played],
) -> None:
    _, _, played = invaders
    for number, (total, steps) in enumerate(
        zip(played.returns.returns, played.returns.steps, strict=True)
    ):
        emulator = Emulator("space_invaders", WITH_LIVES, environment_seed(SEED, number, 0))
        emulator.reset()
        rewards, lives = [], {emulator.lives}
        while not emulator.terminated:
            rewards.append(emulator.act(int(played.actions[len(rewards), number])))
            lives.add(emulator.lives)
        assert (sum(rewards), len(rewards)) == (total, steps)
        assert lives >= {1, 2, 3}
        assert max(rewards) > 1
    assert len(set(played.returns.steps)) == 2
    assert len(played.actions) == max(played.returns.steps)


def test_an_episode_is_cut_at_the_protocols_cap() -> None:
    played = evaluator().play(tiny_agent("pong"), nobody)
    assert played.returns.steps == (60, 60)
    assert played.actions.shape == (60, 2)


def test_the_same_weights_come_to_the_same_and_others_to_others() -> None:
    judge, agent = evaluator(), tiny_agent("pong")
    first = judge.play(agent, nobody)
    with pytest.raises(StopRequested):
        judge.play(agent, stop_after(50))
    judge.play_again(first, [0], 20, nobody)
    torch.rand(5)
    for again in (judge.play(agent, nobody), evaluator().play(agent, nobody)):
        assert again.returns == first.returns
        assert np.array_equal(again.actions, first.actions)
    for other in (
        judge.play(tiny_agent("pong", seed=2), nobody),
        evaluator(seed=8).play(agent, nobody),
    ):
        assert not np.array_equal(other.actions, first.actions)


def test_weights_modes_and_random_streams_stay_as_they_were() -> None:
    agent = tiny_agent("pong")
    agent.encoder.eval()
    weights = {name: value.clone() for name, value in agent.state_dict().items()}
    modes = {name: module.training for name, module in agent.named_modules()}
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002, the stream that must not be touched
    undisturbed = torch.rand(4), np.random.random(4)  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    evaluator().play(agent, nobody)
    assert torch.equal(torch.rand(4), undisturbed[0])
    assert np.array_equal(np.random.random(4), undisturbed[1])  # noqa: NPY002
    assert {name: module.training for name, module in agent.named_modules()} == modes
    assert all(torch.equal(weights[name], value) for name, value in agent.state_dict().items())
    assert agent.head.weight.grad is None


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_so_many_of_the_actions_are_random(share: float) -> None:
    agent = tiny_agent("pong")
    agent.head.weight.data.zero_()
    agent.head.bias.data = torch.eye(agent.num_actions)[2]  # so that 2 is what it would choose
    played = evaluator(exploration=share).play(agent, nobody)
    others = np.mean(played.actions != 2)
    assert others == pytest.approx(share * 5 / 6, abs=0.12 if share else 0)


def test_an_agent_that_draws_its_actions_draws_the_same_ones() -> None:
    experiment = Experiment(
        name="random", environment=Atari(game="pong", protocol="classic"), agent=RandomAgent()
    )
    agent, judge = build_agent(experiment), evaluator()
    first = judge.play(agent, nobody)
    assert len(np.unique(first.actions)) == 6
    torch.rand(5)
    assert np.array_equal(judge.play(agent, nobody).actions, first.actions)


def test_progress_counts_the_steps_of_all_episodes(
    invaders: tuple[TinyAgent, Evaluator, Played],
) -> None:
    agent, judge, played = invaders
    told: list[int] = []
    judge.play(agent, told.append)
    assert told[0] == 2
    assert told == sorted(told)
    assert told[-1] == sum(played.returns.steps)
    assert len(told) == max(played.returns.steps)


def test_frames_are_those_that_the_agent_saw() -> None:
    agent, judge = tiny_agent("pong"), evaluator(episodes=3)
    played = judge.play(agent, nobody)
    seen = torch.stack(agent.frames)
    told: list[int] = []
    store = judge.play_again(played, [2, 0], 1000, told.append)
    assert told == list(range(1, 61))
    assert [len(episode) for episode in store.episodes()] == [61, 61]
    assert [episode.ended for episode in store.episodes()] == [True, True]
    for stream, number in enumerate((2, 0)):
        frames = store.frames[:60, stream]
        assert torch.equal(frames, seen[:, number])
        assert np.array_equal(store.actions[:60, stream], played.actions[:, number])
    assert not torch.equal(seen[:, 2], seen[:, 0])


def test_only_so_many_steps_are_played_again() -> None:
    agent, judge = tiny_agent("pong"), evaluator()
    store = judge.play_again(judge.play(agent, nobody), [1], 9, nobody)
    assert [(len(episode), episode.ended) for episode in store.episodes()] == [(10, False)]


def test_curves_are_means_over_the_episodes() -> None:
    returns = Returns("pong", (-21.0, 3.0, -15.0, 9.0), (800, 1000, 900, 1300))
    assert returns.mean == -6.0
    scalars = dict(returns.scalars())
    assert scalars.pop("evaluation/human_normalised") == pytest.approx((-6 + 20.7) / (14.6 + 20.7))
    assert scalars == {
        "evaluation/return": -6.0,
        "evaluation/median_return": -6.0,
        "evaluation/episode_steps": 1000.0,
    }
    unknown = replace(returns, game="adventure").scalars()
    assert "evaluation/human_normalised" not in unknown


@pytest.mark.parametrize(
    ("returns", "best", "median"),
    [((5.0,), 0, 0), ((1.0, 3.0), 1, 0), ((4.0, 9.0, 2.0), 1, 0), ((4.0, 9.0, 2.0, 5.0), 1, 0)],
)
def test_the_best_and_the_median_episode_are_by_return(
    returns: tuple[float, ...], best: int, median: int
) -> None:
    played = Returns("pong", returns, tuple(100 for _ in returns))
    assert (played.best_episode, played.median_episode) == (best, median)


def test_an_experiment_says_how_it_is_measured_and_not_by_the_games_of_its_training() -> None:
    experiment = Experiment(
        name="measured",
        environment=Atari(game="space_invaders", protocol="atari_100k"),
        agent=RandomAgent(),
        agent_training=AgentTraining(evaluation_episodes=1, evaluation_exploration=0.25),
        seed=4,
    )
    seed = seeds_from(4).evaluation
    assert seed not in (4, seeds_from(5).evaluation)
    agent = tiny_agent("space_invaders")
    by_hand = evaluator(
        "space_invaders", PROTOCOLS["atari_100k"], episodes=1, exploration=0.25, seed=seed
    )
    measured = Evaluator.of_experiment(experiment, torch.device("cpu"))
    played = measured.play(agent, nobody)
    assert played.returns == by_hand.play(agent, nobody).returns
    assert len(played.returns.returns) == 1
