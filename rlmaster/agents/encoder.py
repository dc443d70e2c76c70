"""The encoder of an agent: an embedder that looks at all frames of an observation.

Shapes: B batch, K stacked frames of an observation, H and W pixels, S frames that one latent is
made of, L numbers of a latent, V views of an observation.
"""

import copy
from typing import Self

import torch
from torch import Tensor, nn

from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.embedders.base import BaseEmbedder
from rlmaster.errors import TrainingError
from rlmaster.experiment import Experiment


class ObservationEncoder(nn.Module):
    """Latents of an observation, one behind the other, oldest first.

    One latent of S = K frames is all there is to know. Where an embedder looks at fewer, nobody
    could tell from its latent of the newest frames where the ball flies, so that the observation
    is cut into V = K // S views.

    Attributes:
        embedder: What makes a latent of a view.
        is_frozen: Whether no loss ever changes it; batches must not, so it is always in evaluation
            mode.
        td_trains: Whether the agent's loss may change it, at the moment.
        target_rate: Share of the way that its target copy moves; None where the agent decides.
    """

    def __init__(self, embedder: BaseEmbedder, experiment: Experiment) -> None:
        """Cut observations as an experiment's embedder and protocol have it.

        Raises:
            TrainingError: If the embedder looks at more frames than an observation has.
        """
        super().__init__()
        stacked = PROTOCOLS[experiment.environment.protocol].stacked_frames
        self.frames_of_view = int(getattr(experiment.embedder, "stacked_frames", stacked))
        if self.frames_of_view > stacked:
            raise TrainingError(
                f"the embedder looks at {self.frames_of_view} frames (embedder.stacked_frames), and"
                f" an observation under {experiment.environment.protocol} has {stacked}"
            )
        self.embedder = embedder
        self.num_views = stacked // self.frames_of_view
        self.is_frozen = experiment.encoder.losses == "none"
        self.td_trains = experiment.encoder.losses in ("td", "both")
        self.target_rate = experiment.encoder.target_rate
        self.train()

    @property
    def latent_dim(self) -> int:
        """Numbers of all latents of an observation together, V * L."""
        return self.num_views * self.embedder.latent_dim

    def train(self, mode: bool = True) -> Self:
        """Change the mode as any module does, unless it is frozen."""
        return super().train(mode and not self.is_frozen)

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
        """Return a copy that no gradient changes, for what targets are made of."""
        target = copy.deepcopy(self)
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
