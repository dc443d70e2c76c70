"""Encoders and decoders: the sizes of the papers, and what makes a latent of a feature map."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from rlmaster.embedder_choices import ConvolutionalEmbedder
from rlmaster.errors import SpecificationError
from rlmaster.networks import FrameDecoder, FrameEncoder, LatentHead, ResidualUnit
from rlmaster.training.update import to_channels_last


class Specification(ConvolutionalEmbedder):
    """Builds nothing by itself."""

    builds = "nothing:Nothing"


ENCODERS = ("nature", "data_efficient", "sac_ae", "residual")
CHANNELS = {"sac_ae": (32, 32, 32), "residual": (16, 32, 32)}
"""Of the papers, where they are not the default."""


def built(encoder: str, **fields: Any) -> FrameEncoder:
    torch.manual_seed(0)
    wanted = {"latent_dim": 50, "channels": CHANNELS.get(encoder, (32, 64, 64)), **fields}
    return FrameEncoder(Specification(encoder=encoder, **wanted))


@pytest.mark.parametrize(
    ("encoder", "size", "sides", "depth"),
    [
        ("nature", 3136, [20, 9, 7], 3),
        ("data_efficient", 576, [16, 3], 2),
        ("sac_ae", 39_200, [41, 39, 37, 35], 4),
        ("residual", 3872, [42, 21, 11], 15),
    ],
)
@pytest.mark.parametrize("stacked_frames", [1, 4])
def test_feature_maps_are_those_of_the_papers(
    encoder: str, size: int, sides: list, depth: int, stacked_frames: int
) -> None:
    network = built(encoder, stacked_frames=stacked_frames)
    seen = torch.rand(2, stacked_frames, 84, 84)
    found = [84]
    for layer in network.convolutions:
        seen = layer(seen)
        found += [seen.shape[-1]] if seen.dim() == 4 and seen.shape[-1] != found[-1] else []
    assert found == [84, *sides]
    assert seen.shape == (2, size)
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) == depth
    assert network(torch.rand(2, stacked_frames, 84, 84)).shape == (2, 50)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_last_map_ends_in_a_rectifier_and_has_the_size_that_is_told(encoder: str) -> None:
    network = built(encoder, channels=(3, 5, 7))
    features = network.convolutions(torch.rand(2, 1, 84, 84))
    told = Specification(encoder=encoder, channels=(3, 5, 7)).feature_map_size
    assert features.shape == (2, told)
    assert features.min() == 0 < features.max()


@pytest.mark.parametrize(
    ("encoder", "size"),
    [("nature", 3136), ("data_efficient", 576), ("sac_ae", 39_200), ("residual", 7744)],
)
def test_a_latent_that_is_no_feature_map_is_told_the_right_size(encoder: str, size: int) -> None:
    fields = {"encoder": encoder, "projection": "none"}
    with pytest.raises(SpecificationError, match=rf"set latent_dim={size}, not 300"):
        Specification(latent_dim=300, **fields)
    assert Specification(latent_dim=size, **fields).latent_dim == size


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_an_encoder_says_depends_on_no_other_frame_seen_before_or_beside_it(
    encoder: str,
) -> None:
    network, frames = built(encoder).train(), torch.rand(4, 1, 84, 84)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    together = network(frames)
    alone = torch.cat([network.eval()(frame[None]) for frame in frames])
    assert torch.allclose(together, alone, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_layout_of_weights_changes_no_latent(encoder: str) -> None:
    network, frames = built(encoder, stacked_frames=4), torch.rand(3, 4, 84, 84)
    expected = network(frames)
    to_channels_last(network)
    assert torch.allclose(network(frames), expected, atol=1e-5)
    innermost = frames.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(network(innermost), expected, atol=1e-5)


def test_a_residual_unit_adds_what_it_makes_of_what_is_positive() -> None:
    unit = ResidualUnit(2)
    first, first_bias, second, second_bias = unit.parameters()
    for weight, bias in ((first, first_bias), (second, second_bias)):
        nn.init.dirac_(weight)
        nn.init.zeros_(bias)
    features = torch.tensor([-1.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)
    assert unit(features)[0, :, 1, 1].tolist() == [-1.0, 4.0]
    with torch.no_grad():
        first.mul_(-1)  # what is then negative is cut off between the two
    assert unit(features)[0, :, 1, 1].tolist() == [-1.0, 2.0]


def test_without_projection_and_normalisation_the_latent_is_the_feature_map() -> None:
    fields = {"projection": "none", "latent_normalisation": "none", "latent_dim": 3136}
    network = FrameEncoder(Specification(**fields))
    frames = torch.rand(2, 1, 84, 84)
    assert torch.equal(network(frames), network.convolutions(frames))


def test_latents_are_normalised_in_float32_and_then_squashed() -> None:
    head = LatentHead(Specification(latent_dim=64))
    features = torch.randn(5, 3136) * 100
    with torch.autocast("cpu", torch.bfloat16):
        latents = head(features)
    assert latents.dtype is torch.float32
    normalised = latents.detach().atanh()
    assert normalised.mean(1).abs().max() < 1e-3
    assert normalised.std(1, correction=0).tolist() == pytest.approx([1] * 5, abs=1e-3)


@pytest.mark.parametrize(("channels", "count"), [((32, 64, 64), 1), ((4, 5, 6), 3)])
def test_the_decoder_draws_frames_to_which_each_number_counts(channels: tuple, count: int) -> None:
    torch.manual_seed(0)
    decoder = FrameDecoder(channels, 7, num_frames=count)
    frames = decoder(torch.eye(7))
    assert frames.shape == (7, count, 84, 84)
    assert not any(torch.equal(one, other) for one, other in pairwise(frames))
