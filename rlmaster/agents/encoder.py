"""The encoder of an agent: an embedder that looks at all frames of an observation.

Shapes: B batch, K stacked frames of an observation, H and W pixels, S frames that one latent is
made of, L numbers of a latent, V views of an observation.
"""

import copy
from typing import Self

import torch
from torch import Tensor, nn

from rlmaster.embedders.base import BaseEmbedder
from rlmaster.experiment import OBSERVATION_FRAMES, Experiment, observed_frames


class ObservationEncoder(nn.Module):
    """Latents of an observation, one behind the other, oldest first.

    One latent of S = K frames is all there is to know. Where an embedder looks at fewer, nobody
    could tell from its latent of the newest frames where the ball flies, so that the observation
    is cut into V = K // S views.

    Attributes:
        embedder: What makes a latent of a view.
        target_rate: Share of the way that its target copy moves; None where the agent decides.
    """

    def __init__(self, embedder: BaseEmbedder, experiment: Experiment) -> None:
        """Cut observations as an experiment's embedder has it."""
        super().__init__()
        self.embedder = embedder
        self.frames_of_view = observed_frames(experiment.embedder)
        self.num_views = OBSERVATION_FRAMES // self.frames_of_view
        self._td_trains = experiment.encoder.losses in ("td", "both")
        self.target_rate = experiment.encoder.target_rate
        self.train()

    @property
    def latent_dim(self) -> int:
        """Numbers of all latents of an observation together, V * L."""
        return self.num_views * self.embedder.latent_dim

    @property
    def td_trains(self) -> bool:
        """Whether the agent's loss may change it, at the moment.

        Where it may not, what the agent looks at must not either, as batch normalisation would let
        it: the embedder is in evaluation mode then.
        """
        return self._td_trains

    @td_trains.setter
    def td_trains(self, may_change: bool) -> None:
        if may_change != self._td_trains:
            self._td_trains = may_change
            self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Change the mode as any module does, but that of an embedder only where `td_trains`."""
        super().train(mode)
        self.embedder.train(mode and self._td_trains)
        return self

    def forward(self, observation: Tensor) -> Tensor:
        """Return the latents `(B, V * L)` of observations `(B, K, H, W)`, uint8.

        What is latents already, float `(B, V * L)`, stays as it is.
        """
        if observation.is_floating_point():
            return observation
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.td_trains):
            return self._embedded(observation)

    def _embedded(self, observation: Tensor) -> Tensor:
        if self.num_views == 1:
            return self.embedder.embed(observation[:, -self.frames_of_view :])
        count, size = self.num_views * self.frames_of_view, self.frames_of_view
        views = observation[:, -count:].unflatten(1, (self.num_views, size)).flatten(0, 1)
        return self.embedder.embed(views).unflatten(0, (-1, self.num_views)).flatten(1)

    def target_copy(self) -> "ObservationEncoder":
        """Return a copy that nothing changes but `follow`, for what targets are made of."""
        target = copy.deepcopy(self)
        target.td_trains = False
        return target.requires_grad_(False)


@torch.no_grad()
def follow(target: nn.Module, online: nn.Module, rate: float) -> None:
    """Move a network's weights towards another's of the same shape by a share of the way.

    Buffers, such as the background that an embedder has looked at, become the same; one that the
    embedder has made while it looked is made here too.
    """
    for own, other in zip(target.parameters(), online.parameters(), strict=True):
        own.lerp_(other, rate)
    known = dict(target.named_buffers())
    for name, other in online.named_buffers():
        if name in known:
            known[name].copy_(other)
        else:
            owner, _, buffer = name.rpartition(".")
            target.get_submodule(owner).register_buffer(buffer, other.clone())
