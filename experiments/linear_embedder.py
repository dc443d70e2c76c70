"""The module that Linear builds."""

import torch
from linear_specification import Linear
from torch import Tensor, nn

from rlmaster.embedders.base import (
    BaseEmbedder,
    EmbedderLoss,
    Preview,
    unit_interval,
)
from rlmaster.replay.batches import SequenceBatch

PIXELS = 84 * 84


class LinearEmbedder(BaseEmbedder):
    """Latents and reconstructions are linear in the pixels."""

    def __init__(self, specification: Linear, *, num_actions: int) -> None:
        """Build the two matrices; the game's actions are of no use here."""
        del num_actions
        super().__init__(specification.latent_dim)
        self.noise = specification.latent_noise
        self.down = nn.Linear(PIXELS, specification.latent_dim)
        self.up = nn.Linear(specification.latent_dim, PIXELS)

    def embed(self, observation: Tensor) -> Tensor:
        """Return the latent of an observation's newest frame."""
        return self.down(unit_interval(observation[:, -1]).flatten(1))

    def loss(self, batch: SequenceBatch) -> EmbedderLoss:
        """Return the squared error of what is drawn from a noisy latent."""
        latent = self.embed(batch.frames)
        drawn = self._draw(latent + self.noise * torch.randn_like(latent))
        error = (drawn - unit_interval(batch.frames)).square().mean()
        return EmbedderLoss(error, {"latent_size": latent.detach().square().mean()})

    def preview(self, batch: SequenceBatch) -> Preview:
        """Return the frame, and what is drawn from its latent."""
        drawn = self._draw(self.embed(batch.frames)).clamp(0, 1)
        return Preview(unit_interval(batch.frames), drawn)

    def _draw(self, latent: Tensor) -> Tensor:
        return self.up(latent).float().view(-1, 1, 84, 84)
