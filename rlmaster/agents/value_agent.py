"""One agent of the deep Q-network's family; every improvement of Rainbow is a switch.

Sources: Mnih et al. (2015), algorithm 1; van Hasselt et al. (2016), equation 4 (double); Wang et
al. (2016), equation 9 (dueling); Bellemare et al. (2017), algorithm 1 (categorical); Fortunato et
al. (2018) (noisy); Hessel et al. (2018), section "The Integrated Agent".
Shapes: B batch, K stacked frames, H and W pixels, D numbers of all latents, A actions, Z atoms.
"""

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlmaster.agent_choices import ValueAgent
from rlmaster.agents.base import AgentLoss, BaseAgent
from rlmaster.agents.categorical import cross_entropy, expected_values, project
from rlmaster.agents.encoder import ObservationEncoder, follow
from rlmaster.agents.noisy import NoisyLinear
from rlmaster.embedders.augmentation import randomly_shifted
from rlmaster.replay.batches import TransitionBatch


class ValueHead(nn.Module):
    """Latents to values of the actions, or to the logits of their distributions."""

    def __init__(self, specification: ValueAgent, inputs: int, num_actions: int) -> None:
        """Build the layers that a specification asks for, with random weights.

        Args:
            specification: Says whether they are dueling, noisy, categorical, and how wide.
            inputs: Numbers of all latents of an observation, D.
            num_actions: A.
        """
        super().__init__()
        self.num_actions = num_actions
        self.num_atoms = specification.num_atoms if specification.categorical else 1
        self.advantage = self._stream(specification, inputs, num_actions * self.num_atoms)
        self.value = (
            self._stream(specification, inputs, self.num_atoms) if specification.dueling else None
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Return values or logits `(B, A, Z)`, float32, of latents `(B, D)`; Z is 1 for values."""
        advantage = self.advantage(latent).float().unflatten(1, (self.num_actions, self.num_atoms))
        if self.value is None:
            return advantage
        value = self.value(latent).float().unsqueeze(1)
        return value + advantage - advantage.mean(1, keepdim=True)

    @staticmethod
    def _stream(specification: ValueAgent, inputs: int, outputs: int) -> nn.Sequential:
        def linear(of: int, to: int) -> nn.Module:
            if specification.noisy:
                return NoisyLinear(of, to, specification.noise_scale)
            return nn.Linear(of, to)

        hidden = specification.hidden_units
        return nn.Sequential(linear(inputs, hidden), nn.ReLU(), linear(hidden, outputs))


class ValueBasedAgent(BaseAgent):
    """Encoder and head that learn, and copies of both that make the targets."""

    support: Tensor

    def __init__(
        self, specification: ValueAgent, encoder: ObservationEncoder, *, num_actions: int
    ) -> None:
        """Build the networks; targets begin as the online networks are."""
        super().__init__(encoder, num_actions=num_actions)
        self.specification = specification
        self.head = ValueHead(specification, encoder.latent_dim, num_actions)
        self.target_encoder = encoder.target_copy()
        self.target_head = copy.deepcopy(self.head).requires_grad_(False)
        atoms = torch.linspace(specification.v_min, specification.v_max, specification.num_atoms)
        self.register_buffer("support", atoms)

    def act(self, observation: Tensor) -> Tensor:
        """Return the actions of the highest value, `(B,)`; noisy heads explore in training mode."""
        return self._values(self.head(self.encoder(observation))).argmax(1)

    def loss(self, batch: TransitionBatch) -> AgentLoss:
        """Return the mean loss of the transitions, weighted by their importance.

        The next action is chosen by the target networks, or where `double` by the online ones;
        what it is worth is always what the target networks say.
        """
        batch = self._shifted(batch)
        outputs = self.head(self.encoder(batch.observation))
        chosen = outputs[torch.arange(len(outputs), device=outputs.device), batch.action]  # (B, Z)
        with torch.no_grad():
            following = self._following(batch.next_observation)  # (B, Z)
        each, priority = self._errors(chosen, following, batch)
        parts = {"mean_value": self._values(outputs.detach()).amax(1).mean()}
        return AgentLoss((batch.importance_weight * each).mean(), priority.detach(), parts)

    def target_moves(self, update: int) -> bool:
        """Tell whether an update is one after which the targets move."""
        return update % self.specification.target_period_updates == 0

    def move_target(self, *, wholly: bool = False) -> None:
        """Bring the target networks nearer to the online ones; wholly, to be the same."""
        rate = 1.0 if wholly else self.specification.target_rate
        own = None if wholly else self.encoder.target_rate
        follow(self.target_head, self.head, rate)
        follow(self.target_encoder, self.encoder, rate if own is None else own)

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Return the head's weights."""
        return self.head.parameters()

    # ------------------------------------------------------------------------------- its parts

    def _values(self, outputs: Tensor) -> Tensor:
        """Return the expected return of each action, `(B, A)`, of the head's outputs."""
        if self.specification.categorical:
            return expected_values(outputs, self.support)
        return outputs.squeeze(2)

    def _following(self, observation: Tensor) -> Tensor:
        """Return what the target networks say of the best next action, `(B, Z)`."""
        outputs = self.target_head(self.target_encoder(observation))
        chooser = self.head(self.encoder(observation)) if self.specification.double else outputs
        best = self._values(chooser).argmax(1)
        return outputs[torch.arange(len(outputs), device=outputs.device), best]

    def _errors(
        self, chosen: Tensor, following: Tensor, batch: TransitionBatch
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each transition and how much there is left to learn, `(B,)` each."""
        if self.specification.categorical:
            target = project(following.softmax(1), batch.reward, batch.discount, self.support)
            each = cross_entropy(chosen, target)
            entropy = -torch.xlogy(target, target).sum(1)  # so that the priority is the divergence
            return each, (each - entropy).clamp(min=0)
        target = batch.reward + batch.discount * following.squeeze(1)
        error = target - chosen.squeeze(1)
        return functional.huber_loss(chosen.squeeze(1), target, reduction="none"), error.abs()

    def _shifted(self, batch: TransitionBatch) -> TransitionBatch:
        """Shift observation and next observation, both alike, where the specification asks so."""
        pixels = self.specification.random_shift
        if not (pixels and self.training) or batch.observation.is_floating_point():
            return batch
        both = torch.cat([batch.observation, batch.next_observation], 1)
        shifted = randomly_shifted(both, pixels)
        observation, next_observation = shifted.chunk(2, 1)
        return replace(batch, observation=observation, next_observation=next_observation)
