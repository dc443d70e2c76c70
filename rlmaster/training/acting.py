"""Which actions a run plays: random ones, and those that look best.

Shapes: N environments.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlmaster.agent_choices import LearningAgent
from rlmaster.agents.base import BaseAgent
from rlmaster.agents.exploration import exploration_share, with_random_actions
from rlmaster.experiment import Experiment
from rlmaster.training.agent_learning import AgentLearning
from rlmaster.training.play import Play


class Acting:
    """Chooses actions; all that it draws comes from a generator of its own."""

    def __init__(
        self, experiment: Experiment, agent: BaseAgent, learning: AgentLearning | None, seed: int
    ) -> None:
        """Draw nothing yet.

        Args:
            experiment: Says how many environments there are, and how much is explored.
            agent: Who plays.
            learning: How it learns, which says how its networks are computed; None if it does not.
            seed: Of what is drawn.
        """
        self._experiment = experiment
        self._agent = agent
        self._learning = learning
        self._draws = torch.Generator().manual_seed(seed)

    def choose(self, play: Play) -> NDArray[np.int64]:
        """Return an action for each environment, `(N,)`, upon what is seen there."""
        share = self._share(play.steps)
        greedy = torch.zeros(self._experiment.environment.num_environments, dtype=torch.int64)
        if share < 1:
            act = self._learning.act if self._learning else self._agent.act
            greedy = act(play.observation).cpu()
        return with_random_actions(greedy, share, self._agent.num_actions, self._draws).numpy()

    def _share(self, step: int) -> float:
        """Return the share of random actions at an agent step, 0 to 1."""
        specification = self._experiment.agent
        if isinstance(specification, LearningAgent):
            return exploration_share(step, specification)
        return 0.0 if self._agent.learns else 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs."""
        return {"state": self._draws.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Draw from now on what would have come after the draws whose state it is."""
        self._draws.set_state(state["state"])
