"""The variational autoencoder: latents are drawn from a distribution kept near the normal one.

Source: Kingma and Welling (2014), sections 2.3 and 2.4.
Shapes: B batch, F feature map, L latent.
"""

import torch
from torch import Tensor, nn

from rlmaster.embedder_choices import VariationalAutoencoder
from rlmaster.embedders.drawing import BaseDrawingEmbedder, Term


class VariationalAutoencoderEmbedder(BaseDrawingEmbedder):
    """Frames in, a normal distribution for each stack; the same frames out of a draw from it.

    `embed` returns the distribution's mean, and previews are drawn from it.
    """

    def __init__(self, specification: VariationalAutoencoder, *, num_actions: int) -> None:
        """Build the networks with random weights; see the base."""
        super().__init__(specification, num_actions=num_actions)
        self.kl_weight = specification.kl_weight
        self.log_variance = nn.Linear(specification.feature_map_size, specification.latent_dim)

    def _code(self, features: Tensor, latents: Tensor) -> tuple[Tensor, dict[str, Term]]:
        log_variance = self.log_variance(features).float()
        divergence = divergence_from_normal(latents, log_variance)
        terms = {"kl_divergence": Term(divergence, self.kl_weight)}
        if not self.training:
            return latents, terms
        return latents + (log_variance / 2).exp() * torch.randn_like(latents), terms


def divergence_from_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence from the standard normal distribution, a scalar.

    In nats, summed over the latent and averaged over the batch.
    Source: Kingma and Welling (2014), appendix B.

    Args:
        mean: `(B, L)`.
        log_variance: Natural logarithm of the variance, `(B, L)`.
    """
    each = mean.square() + log_variance.exp() - 1 - log_variance
    return each.sum(1).mean() / 2
