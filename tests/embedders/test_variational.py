"""The variational autoencoder's own: its divergence and its draws."""

import math

import pytest
import torch

from rlmaster.embedder_choices import VariationalAutoencoder
from rlmaster.embedders.variational import VariationalAutoencoderEmbedder, divergence_from_normal


def test_divergence_by_hand() -> None:
    mean = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    log_variance = torch.tensor([[0.0, 0.0], [0.0, math.log(4)]])
    expected = (0 + 0.5 * (1 + (4 + 4 - 1 - math.log(4)))) / 2
    assert float(divergence_from_normal(mean, log_variance)) == pytest.approx(expected)


def test_divergence_is_that_of_torch() -> None:
    mean, log_variance = torch.randn(5, 7), torch.randn(5, 7)
    ours = torch.distributions.Normal(mean, (log_variance / 2).exp())
    normal = torch.distributions.Normal(torch.zeros(5, 7), torch.ones(5, 7))
    slow = torch.distributions.kl_divergence(ours, normal).sum(1).mean()
    assert torch.allclose(divergence_from_normal(mean, log_variance), slow, rtol=1e-4)


def test_codes_are_drawn_with_the_variance_that_the_network_says() -> None:
    specification = VariationalAutoencoder(latent_dim=4, channels=(2, 2, 2))
    embedder = VariationalAutoencoderEmbedder(specification, num_actions=3)
    with torch.no_grad():
        embedder.log_variance.weight.zero_()
        embedder.log_variance.bias.fill_(math.log(0.09))
    features, mean = torch.zeros(20_000, 98), torch.full((20_000, 4), 2.0)
    torch.manual_seed(0)
    drawn, _ = embedder._code(features, mean)
    assert drawn.mean(0).tolist() == pytest.approx([2.0] * 4, abs=0.02)
    assert drawn.std(0).tolist() == pytest.approx([0.3] * 4, abs=0.01)
    embedder.eval()
    assert torch.equal(embedder._code(features, mean)[0], mean)
