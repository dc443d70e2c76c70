"""Evaluating an agent: full episodes side by side, the same ones for the same weights.

Shapes: N episodes, T steps, K stacked frames, H and W pixels of a frame.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from rlmaster.agents.base import BaseAgent
from rlmaster.atari.environment import AtariEnvironments, Step
from rlmaster.atari.policies import Policy, WithRandomActions
from rlmaster.atari.protocols import PROTOCOLS, Protocol
from rlmaster.atari.scores import human_normalised_score
from rlmaster.embedders.base import undisturbed
from rlmaster.experiment import Experiment
from rlmaster.replay.frame_store import FrameStore
from rlmaster.training.seeds import seeds_from
from rlmaster.training.trained_policy import GreedyPolicy

Advance = Callable[[int], None]
"""Told at every step how far it is; what it raises, such as StopRequested, ends the play."""

RETURN = "evaluation/return"
"""The curve that a run which plays is judged by."""


@dataclass(frozen=True)
class Returns:
    """What the episodes of an evaluation came to."""

    game: str
    """Game, as ale-py spells it."""
    returns: tuple[float, ...]
    """Sum of each episode's rewards, neither clipped nor discounted, to its real end, `(N,)`."""
    steps: tuple[int, ...]
    """Agent steps of each episode, `(N,)`."""

    @property
    def mean(self) -> float:
        """Mean return."""
        return statistics.fmean(self.returns)

    @property
    def best_episode(self) -> int:
        """Number of the episode with the highest return, counted from 0."""
        return self._by_return[-1]

    @property
    def median_episode(self) -> int:
        """Number of the episode with the median return, of two the lower, counted from 0."""
        return self._by_return[(len(self.returns) - 1) // 2]

    @property
    def _by_return(self) -> list[int]:
        """Numbers of the episodes, the lowest return first."""
        return sorted(range(len(self.returns)), key=self.returns.__getitem__)

    def scalars(self) -> Mapping[str, float]:
        """Return all that is known, by the tag of its curve."""
        values = {
            RETURN: self.mean,
            "evaluation/median_return": statistics.median(self.returns),
            "evaluation/episode_steps": statistics.fmean(self.steps),
            "evaluation/human_normalised": human_normalised_score(self.game, self.mean),
        }
        return {tag: value for tag, value in values.items() if value is not None}


@dataclass(frozen=True)
class Played:
    """An evaluation that was played, and all that is needed to play it again."""

    returns: Returns
    """What its episodes came to."""
    actions: NDArray[np.int8]
    """Action taken in each environment at each step, `(T, N)`; any after the first episode."""


class Evaluator:
    """Plays the first episode of N environments that training never sees.

    Seeds and random actions are the same at every evaluation, so that what it comes to is a
    function of the weights.
    """

    def __init__(
        self,
        game: str,
        protocol: Protocol,
        *,
        episodes: int,
        exploration: float,
        seed: int,
        device: torch.device,
    ) -> None:
        """Load the game; nothing is played yet.

        Args:
            game: ROM name as ale-py spells it.
            protocol: How it is played and seen; its cap ends episodes that do not end themselves.
            episodes: Full episodes of an evaluation, N.
            exploration: Share of random actions, 0 to 1.
            seed: Of games and random actions; another than training's.
            device: Where the agent's weights are.
        """
        self._environments = AtariEnvironments(
            game,
            protocol,
            num_environments=episodes,
            seed=seed,
            num_threads=torch.get_num_threads(),
        )
        self._game = game
        self._exploration = exploration
        self._seed = seed
        self._device = device

    @classmethod
    def of_experiment(cls, experiment: Experiment, device: torch.device) -> Self:
        """Return what measures the agent of an experiment."""
        atari, training = experiment.environment, experiment.agent_training
        return cls(
            atari.game,
            PROTOCOLS[atari.protocol],
            episodes=training.evaluation_episodes,
            exploration=training.evaluation_exploration,
            seed=seeds_from(experiment.seed).evaluation,
            device=device,
        )

    def play(self, agent: BaseAgent, on_progress: Advance) -> Played:
        """Play all episodes to their end; weights, modes and torch's random streams stay.

        Args:
            agent: Who plays, in evaluation mode.
            on_progress: Told the agent steps so far, over all episodes together.
        """
        policy = WithRandomActions(
            GreedyPolicy(agent, self._device),
            self._exploration,
            num_actions=self._environments.num_actions,
            seed=self._seed,
        )
        with undisturbed(agent):
            torch.manual_seed(self._seed)  # for agents that draw, such as the random one
            return self._play(policy, on_progress)

    def _play(self, policy: Policy, on_progress: Advance) -> Played:
        step = self._environments.restart()
        playing = ~step.ended
        returns, steps = np.zeros(len(playing)), np.zeros(len(playing), np.int64)
        taken: list[NDArray[np.int8]] = []
        while playing.any():
            actions = policy.actions(step, None)
            step = self._environments.step(actions)
            taken.append(actions.astype(np.int8))
            returns += step.reward * playing
            steps += playing
            playing &= ~step.ended
            on_progress(int(steps.sum()))
        came_to = Returns(self._game, tuple(returns.tolist()), tuple(steps.tolist()))
        return Played(came_to, np.stack(taken))

    def play_again(
        self, played: Played, episodes: Sequence[int], max_steps: int, on_progress: Advance
    ) -> FrameStore:
        """Return the frames of some episodes, whose environments follow from seed and actions.

        Args:
            played: The evaluation; the agent that played it is not asked again.
            episodes: Numbers of episodes; each is a stream of the store, in this order.
            max_steps: Steps after which it ends, whether or not the episodes do.
            on_progress: Told the steps so far, of the longest of the episodes.
        """
        length = min(max_steps, max(played.returns.steps[number] for number in episodes))
        store = FrameStore(len(episodes), capacity_rows=length + 1, device=self._device)
        chosen = np.array(episodes)
        step = self._environments.restart()
        for row, actions in enumerate(played.actions[:length].astype(np.int64)):
            store.append(_part_of(step, chosen), actions[chosen])
            step = self._environments.step(actions)
            on_progress(row + 1)
        store.append(_part_of(step, chosen), None)
        return store


def _part_of(step: Step, environments: NDArray[np.int64]) -> Step:
    """Return what some of the environments answered."""
    return Step(**{field.name: getattr(step, field.name)[environments] for field in fields(Step)})
