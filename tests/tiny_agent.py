"""An agent that plays at once, since its actions follow from a few pixels and random weights."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlmaster.agent_choices import RandomAgent
from rlmaster.agents.base import BaseAgent
from rlmaster.agents.encoder import ObservationEncoder
from rlmaster.atari.actions import num_actions
from rlmaster.embedders.base import build_embedder
from rlmaster.experiment import Atari, Autoencoder, Experiment


class TinyAgent(BaseAgent):
    """Chooses by a linear layer over a coarse picture; in training mode also by chance."""

    def __init__(self, encoder: ObservationEncoder, *, num_actions: int) -> None:
        super().__init__(encoder, num_actions=num_actions)
        self.head = nn.Linear(4 * 49, num_actions)
        self.frames: list[Tensor] = []

    def act(self, observation: Tensor) -> Tensor:
        """Keep the newest frames that it is shown, draw something, and choose."""
        self.frames.append(observation[:, -1].clone())
        coarse = functional.avg_pool2d(observation.float() / 255, 12).flatten(1)
        chance = torch.rand(len(observation), self.num_actions) if self.training else 0
        return (self.head(coarse) + chance).argmax(1)


def tiny_agent(game: str, embedder: Any = None, *, seed: int = 1) -> TinyAgent:
    """Return one for a game, with an embedder of random weights and in training mode."""
    specification = embedder or Autoencoder(latent_dim=4, channels=(2, 2, 2))
    experiment = Experiment(
        name="tiny", environment=Atari(game=game), embedder=specification, agent=RandomAgent()
    )
    torch.manual_seed(seed)
    encoder = ObservationEncoder(build_embedder(experiment), experiment)
    return TinyAgent(encoder, num_actions=num_actions(experiment.environment))
