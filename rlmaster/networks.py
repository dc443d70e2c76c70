"""Convolutional encoders and decoders for Atari frames.

Shapes: B batch, S stacked frames, L latent; frames are 84x84.
"""

from collections.abc import Sequence

from torch import Tensor, nn

FRAME_SIZE = 84
"""Height and width of a frame, in pixels."""


class NatureEncoder(nn.Module):
    """Three strided convolutions and a linear layer, `(B, S, 84, 84)` to `(B, L)`.

    Source: Mnih et al. (2015), extended data table 1, with free widths.
    """

    def __init__(self, stacked_frames: int, channels: Sequence[int], latent_dim: int) -> None:
        """Build the layers.

        Args:
            stacked_frames: S.
            channels: Output channels of the three convolutions.
            latent_dim: L.
        """
        super().__init__()
        first, second, third = channels
        self.layers = nn.Sequential(
            nn.Conv2d(stacked_frames, first, kernel_size=8, stride=4),  # 20x20
            nn.ReLU(),
            nn.Conv2d(first, second, kernel_size=4, stride=2),  # 9x9
            nn.ReLU(),
            nn.Conv2d(second, third, kernel_size=3),  # 7x7
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(third * 7 * 7, latent_dim),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Encode frames `(B, S, 84, 84)` as `(B, L)`."""
        return self.layers(frames)


class FrameDecoder(nn.Module):
    """The encoder's mirror, `(B, L)` to one frame `(B, 1, 84, 84)`.

    The last step works at 21x21 and interleaves sixteen channels into the full frame, which costs a
    fraction of a convolution at 84x84.
    Source of the interleaving: Shi et al. (2016), section 3.2.
    """

    def __init__(self, channels: Sequence[int], latent_dim: int) -> None:
        """Build the layers.

        Args:
            channels: The encoder's channels, in the encoder's order.
            latent_dim: L.
        """
        super().__init__()
        first, second, third = channels
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, third * 7 * 7),
            nn.ReLU(),
            nn.Unflatten(1, (third, 7, 7)),
            nn.ConvTranspose2d(third, second, kernel_size=3),  # 9x9
            nn.ReLU(),
            nn.ConvTranspose2d(second, first, kernel_size=5, stride=2),  # 21x21
            nn.ReLU(),
            nn.Conv2d(first, 16, kernel_size=3, padding=1),
            nn.PixelShuffle(4),  # 84x84
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Decode latents `(B, L)` as frames `(B, 1, 84, 84)`, unbounded."""
        return self.layers(latent)
