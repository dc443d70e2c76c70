"""The autoencoder: a frame through a narrow latent and back.

In Atari games almost all of a frame never changes, and what matters may be two pixels large. So the
networks see and draw only the difference from a background image, and pixels that differ from it
weigh more; with plain mean squared error the best answer for a long time is to leave the ball out.

Shapes: B batch, L latent; frames are 84x84.
"""

import torch
from torch import Tensor, nn

from rlmaster.embedders.base import BaseEmbedder, EmbedderLoss, FrameBatch, Preview, unit_interval
from rlmaster.embedders.foreground import foreground, median_background
from rlmaster.experiment import Autoencoder
from rlmaster.networks import FRAME_SIZE, FrameDecoder, NatureEncoder

INPUT_GAIN = 4.0
"""Brings differences from the background, mostly under 0.5, to the scale weights start at."""


class AutoencoderEmbedder(BaseEmbedder):
    """One frame in, the same frame out."""

    background: Tensor

    def __init__(self, specification: Autoencoder) -> None:
        """Build encoder and decoder with random weights."""
        super().__init__(specification.latent_dim)
        self.specification = specification
        self.encoder = NatureEncoder(1, specification.channels, specification.latent_dim)
        squash = specification.latent_normalisation == "layer_norm_tanh"
        self.normalise = (
            nn.Sequential(nn.LayerNorm(specification.latent_dim), nn.Tanh())
            if squash
            else nn.Identity()
        )
        self.decoder = FrameDecoder(specification.channels, specification.latent_dim)
        self.register_buffer("background", torch.zeros(1, 1, FRAME_SIZE, FRAME_SIZE))

    def prepare(self, frames: Tensor) -> None:
        """Take the median of training frames as the background."""
        self.background.copy_(median_background(frames))

    def embed(self, observation: Tensor) -> Tensor:
        """Return the latent `(B, L)` of the newest frame of an observation."""
        return self._encode(unit_interval(observation[:, -1:]))

    def loss(self, batch: FrameBatch) -> EmbedderLoss:
        """Return the pixel error, foreground weighing more."""
        target = unit_interval(batch.frames)
        drawn = self._draw(target).float()
        error = drawn - target
        error = error.abs() if self.specification.loss == "absolute_error" else error.square()
        weight = 1 + self.specification.foreground_weight * foreground(target, self.background)
        return EmbedderLoss((weight * error).mean())

    def preview(self, batch: FrameBatch) -> Preview:
        """Return the frame and its reconstruction."""
        target = unit_interval(batch.frames)
        return Preview(target, self._draw(target).float().clamp(0, 1))

    def _encode(self, frames: Tensor) -> Tensor:
        return self.normalise(self.encoder((frames - self.background) * INPUT_GAIN))

    def _draw(self, frames: Tensor) -> Tensor:
        return self.background + self.decoder(self._encode(frames))
