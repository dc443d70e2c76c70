"""The random agent: what every other one has to beat."""

import torch
from torch import Tensor

from rlmaster.agent_choices import RandomAgent
from rlmaster.agents.base import BaseAgent
from rlmaster.agents.encoder import ObservationEncoder


class UniformAgent(BaseAgent):
    """Chooses uniformly among the actions, whatever it sees, with torch's global generator."""

    learns = False

    def __init__(
        self, specification: RandomAgent, encoder: ObservationEncoder, *, num_actions: int
    ) -> None:
        """Build nothing but what all agents have."""
        del specification
        super().__init__(encoder, num_actions=num_actions)

    def act(self, observation: Tensor) -> Tensor:
        """Return random actions, `(B,)` int64, for observations `(B, K, H, W)`."""
        return torch.randint(self.num_actions, (len(observation),), device=observation.device)
