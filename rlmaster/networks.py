"""Convolutional encoders and decoders for Atari frames.

Shapes: B batch, K stacked frames, F numbers in a feature map, L latent, C channels, D numbers that
frames are drawn from, H height, W width; frames are 84x84. Weights start as torch draws them. No
layer has statistics of a batch, so that frozen weights stay as they are.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from rlmaster.embedder_choices import ConvolutionalEmbedder

FRAME_SIZE = 84
"""Height and width of a frame, in pixels."""


class FrameEncoder(nn.Module):
    """Convolutions, and what makes a latent of their feature map.

    The two steps are there one by one, for those who need the feature map too.
    """

    def __init__(self, specification: ConvolutionalEmbedder) -> None:
        """Build the layers that a specification asks for, with random weights."""
        super().__init__()
        layers = {
            "nature": nature_convolutions,
            "data_efficient": data_efficient_convolutions,
            "sac_ae": sac_ae_convolutions,
            "residual": residual_convolutions,
        }
        self.convolutions = layers[specification.encoder](
            specification.stacked_frames, specification.channels
        )
        self.head = LatentHead(specification)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode frames `(B, K, 84, 84)` as latents `(B, L)`."""
        return self.head(self.convolutions(frames))


class LatentHead(nn.Module):
    """Feature map to latent, `(B, F)` to `(B, L)`.

    Source of layer normalisation and tanh: Yarats et al. (2021), SAC-AE, appendix B.
    """

    def __init__(self, specification: ConvolutionalEmbedder) -> None:
        """Build the layers that a specification asks for, with random weights."""
        super().__init__()
        size = specification.latent_dim
        is_projected = specification.projection == "linear"
        is_squashed = specification.latent_normalisation == "layer_norm_tanh"
        self.projection = (
            nn.Linear(specification.feature_map_size, size) if is_projected else nn.Identity()
        )
        self.normalisation = (
            nn.Sequential(nn.LayerNorm(size), nn.Tanh()) if is_squashed else nn.Identity()
        )

    def forward(self, features: Tensor) -> Tensor:
        """Make latents `(B, L)`, normalised in float32, of feature maps `(B, F)`."""
        return self.normalisation(self.projection(features).float())


def nature_convolutions(stacked_frames: int, channels: Sequence[int]) -> nn.Sequential:
    """Return three strided convolutions, `(B, K, 84, 84)` to `(B, F)`, F = 49 x the last channels.

    Source: Mnih et al. (2015), extended data table 1, with free widths.

    Args:
        stacked_frames: K.
        channels: Output channels of the three.
    """
    first, second, third = channels
    return nn.Sequential(
        nn.Conv2d(stacked_frames, first, kernel_size=8, stride=4),  # 20x20
        nn.ReLU(),
        nn.Conv2d(first, second, kernel_size=4, stride=2),  # 9x9
        nn.ReLU(),
        nn.Conv2d(second, third, kernel_size=3),  # 7x7
        nn.ReLU(),
        nn.Flatten(),
    )


def data_efficient_convolutions(stacked_frames: int, channels: Sequence[int]) -> nn.Sequential:
    """Return two strided convolutions, `(B, K, 84, 84)` to `(B, F)`, F = 9 x the second channels.

    Source: van Hasselt et al. (2019), appendix on the data-efficient Rainbow, with free widths.

    Args:
        stacked_frames: K.
        channels: Output channels; the first two count.
    """
    first, second = channels[:2]
    return nn.Sequential(
        nn.Conv2d(stacked_frames, first, kernel_size=5, stride=5),  # 16x16
        nn.ReLU(),
        nn.Conv2d(first, second, kernel_size=5, stride=5),  # 3x3
        nn.ReLU(),
        nn.Flatten(),
    )


def sac_ae_convolutions(stacked_frames: int, channels: Sequence[int]) -> nn.Sequential:
    """Return four small convolutions, `(B, K, 84, 84)` to `(B, F)`, F = 1225 x the first channels.

    Source: Yarats et al. (2021), SAC-AE, appendix B, who have 32 channels throughout.

    Args:
        stacked_frames: K.
        channels: The first is the output channels of all four.
    """
    width = channels[0]
    layers: list[nn.Module] = [nn.Conv2d(stacked_frames, width, kernel_size=3, stride=2)]  # 41x41
    for _ in range(3):  # 39x39, 37x37, 35x35
        layers += [nn.ReLU(), nn.Conv2d(width, width, kernel_size=3)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten())


def residual_convolutions(stacked_frames: int, channels: Sequence[int]) -> nn.Sequential:
    """Return three residual blocks, `(B, K, 84, 84)` to `(B, F)`, F = 121 x the last channels.

    Source: Espeholt et al. (2018), IMPALA, figure 3 (right), who have 16, 32 and 32 channels.

    Args:
        stacked_frames: K.
        channels: Output channels of the three.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([stacked_frames, *channels]):
        layers += [
            nn.Conv2d(inputs, outputs, kernel_size=3, padding=1),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),  # 42x42, 21x21, 11x11
            ResidualUnit(outputs),
            ResidualUnit(outputs),
        ]
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten())


class ResidualUnit(nn.Module):
    """Two convolutions, and their input added to what comes out, `(B, C, H, W)` to the same."""

    def __init__(self, channels: int) -> None:
        """Build the layers.

        Args:
            channels: C.
        """
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Add to feature maps `(B, C, H, W)` what the layers make of them."""
        return features + self.layers(features)


class FrameDecoder(nn.Module):
    """The Nature encoder's mirror, `(B, D)` to frames `(B, K, 84, 84)`, for every encoder.

    The last step works at 21x21 and interleaves sixteen channels into a full frame, which costs a
    fraction of a convolution at 84x84.
    Source of the interleaving: Shi et al. (2016), section 3.2.
    """

    def __init__(self, channels: Sequence[int], inputs: int, *, num_frames: int = 1) -> None:
        """Build the layers.

        Args:
            channels: The encoder's channels, in the encoder's order.
            inputs: Numbers that frames are drawn from, D.
            num_frames: K.
        """
        super().__init__()
        first, second, third = channels
        self.layers = nn.Sequential(
            nn.Linear(inputs, third * 7 * 7),
            nn.ReLU(),
            nn.Unflatten(1, (third, 7, 7)),
            nn.ConvTranspose2d(third, second, kernel_size=3),  # 9x9
            nn.ReLU(),
            nn.ConvTranspose2d(second, first, kernel_size=5, stride=2),  # 21x21
            nn.ReLU(),
            nn.Conv2d(first, 16 * num_frames, kernel_size=3, padding=1),
            nn.PixelShuffle(4),  # 84x84
        )

    def forward(self, code: Tensor) -> Tensor:
        """Decode `(B, D)` as frames `(B, K, 84, 84)`, unbounded."""
        return self.layers(code)
