"""The module that SoftAgent builds. Shapes: B batch, D numbers of all latents, A actions."""

import copy
from collections.abc import Iterator

import torch
from soft_specification import SoftAgent
from torch import Tensor, nn
from torch.nn import functional

from rlmaster.agents.base import AgentLoss, BaseAgent
from rlmaster.agents.encoder import ObservationEncoder, follow
from rlmaster.replay.batches import TransitionBatch


class SoftValues(BaseAgent):
    """One matrix from latents to values, and a copy of all networks for the targets."""

    def __init__(
        self, specification: SoftAgent, encoder: ObservationEncoder, *, num_actions: int
    ) -> None:
        """Build the matrix; the encoder is there already, and learns as the experiment says."""
        super().__init__(encoder, num_actions=num_actions)
        self.specification = specification
        self.values = nn.Linear(encoder.latent_dim, num_actions)
        self.target_encoder = encoder.target_copy()
        self.target_values = copy.deepcopy(self.values).requires_grad_(False)

    def act(self, observation: Tensor) -> Tensor:
        """Return the actions of the highest value, `(B,)`."""
        return self.values(self.encoder(observation)).argmax(1)

    def loss(self, batch: TransitionBatch) -> AgentLoss:
        """Return the loss against what the soft policy would get."""
        values = self.values(self.encoder(batch.observation)).float()  # (B, A)
        chosen = values.gather(1, batch.action.unsqueeze(1)).squeeze(1)
        with torch.no_grad():
            following = self.target_values(self.target_encoder(batch.next_observation)).float()
            policy = (following / self.specification.temperature).softmax(1)
            target = batch.reward + batch.discount * (policy * following).sum(1)
        each = functional.huber_loss(chosen, target, reduction="none")
        total = (batch.importance_weight * each).mean()
        priority = (target - chosen).detach().abs()
        return AgentLoss(total, priority, {"mean_value": values.detach().amax(1).mean()})

    def target_moves(self, update: int) -> bool:
        """Tell whether the targets move after an update."""
        return update % self.specification.target_period_updates == 0

    def move_target(self, *, wholly: bool = False) -> None:
        """Make the target networks the same as those that learn."""
        del wholly
        follow(self.target_values, self.values, 1.0)
        follow(self.target_encoder, self.encoder, 1.0)

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Return the weights that the loss trains, whatever becomes of the encoder."""
        return self.values.parameters()
