"""Encoders and decoders: the sizes of the papers, and what makes a latent of a feature map."""

from itertools import pairwise

import pytest
import torch

from rlmaster.embedder_choices import ConvolutionalEmbedder
from rlmaster.networks import FrameDecoder, FrameEncoder, LatentHead


class Specification(ConvolutionalEmbedder):
    """Builds nothing by itself."""

    builds = "nothing:Nothing"


@pytest.mark.parametrize(
    ("encoder", "channels", "size", "sides"),
    [("nature", (32, 64, 64), 3136, [20, 9, 7]), ("data_efficient", (32, 64, 64), 576, [16, 3])],
)
@pytest.mark.parametrize("stacked_frames", [1, 4])
def test_feature_maps_are_those_of_the_papers(
    encoder: str, channels: tuple, size: int, sides: list, stacked_frames: int
) -> None:
    fields = {"encoder": encoder, "channels": channels, "stacked_frames": stacked_frames}
    specification = Specification(latent_dim=50, **fields)
    network = FrameEncoder(specification)
    seen = torch.rand(2, stacked_frames, 84, 84)
    found = []
    for layer in network.convolutions:
        seen = layer(seen)
        found += [seen.shape[-1]] if isinstance(layer, torch.nn.Conv2d) else []
    assert found == sides
    assert seen.shape == (2, size) == (2, specification.feature_map_size)
    assert network(torch.rand(2, stacked_frames, 84, 84)).shape == (2, 50)


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


@pytest.mark.parametrize("channels", [(32, 64, 64), (4, 5, 6)])
def test_the_decoder_draws_a_frame_each_number_of_which_counts(channels: tuple) -> None:
    torch.manual_seed(0)
    decoder = FrameDecoder(channels, 7)
    frames = decoder(torch.eye(7))
    assert frames.shape == (7, 1, 84, 84)
    assert not any(torch.equal(one, other) for one, other in pairwise(frames))
