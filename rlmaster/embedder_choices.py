"""Embedders, as an experiment names them: how observations become latents."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rlmaster.specification import Part

Channels = Annotated[int, Field(ge=1, le=4096)]

FEATURE_MAP_SIDE = {"nature": 7, "data_efficient": 3, "sac_ae": 35, "residual": 11}
"""Height and width of the last feature map that each encoder makes of an 84x84 frame."""
LAST_WIDTH = {"nature": 2, "data_efficient": 1, "sac_ae": 0, "residual": 2}
"""Which of the three `channels` that feature map has."""


class Embedder(Part):
    """How observations become latents."""

    has_loss: ClassVar[bool] = True
    """Whether it can be trained without an agent."""

    latent_dim: int = Field(default=256, ge=1, le=65_536)
    """Size of the latent, in numbers, 1 to 65,536."""


class ConvolutionalEmbedder(Embedder):
    """Convolutions, and what makes a latent of their feature map."""

    stacked_frames: int = Field(default=1, ge=1, le=16)
    """Frames that one latent is made of, the newest of an observation, 1 to 16."""
    encoder: Literal["nature", "data_efficient", "sac_ae", "residual"] = "nature"
    """Convolutions: DQN 7x7 in the end, data-efficient Rainbow 3x3, SAC-AE 35x35, IMPALA 11x11."""
    channels: tuple[Channels, Channels, Channels] = (32, 64, 64)
    """Output channels, 1 to 4096; data_efficient uses the first two, sac_ae the first for all."""
    projection: Literal["linear", "none"] = "linear"
    """Whether a linear layer makes the latent, or the flattened feature map is the latent."""
    latent_normalisation: Literal["layer_norm_tanh", "none"] = "layer_norm_tanh"
    """Whether latents are normalised and squashed into (-1, 1), as in Yarats et al. (2021)."""

    @property
    def feature_map_size(self) -> int:
        """Numbers in the flattened feature map."""
        return self.channels[LAST_WIDTH[self.encoder]] * FEATURE_MAP_SIDE[self.encoder] ** 2

    @model_validator(mode="after")
    def _latent_is_the_map(self) -> Self:
        if self.projection == "none" and self.latent_dim != self.feature_map_size:
            raise ValueError(
                f"without a projection the latent is the feature map of {self.feature_map_size:,} "
                f"numbers; set latent_dim={self.feature_map_size}, not {self.latent_dim}"
            )
        return self


class DrawingEmbedder(ConvolutionalEmbedder):
    """An embedder with a decoder that draws frames from the latent."""

    loss: Literal["squared_error", "absolute_error", "hinged"] = "squared_error"
    """Error of a pixel in [0, 1] that is averaged; hinged is squared, and no better than small."""
    foreground_weight: float = Field(default=30.0, ge=0, le=1e6)
    """Extra weight of pixels that differ from the game's background; 0 weighs all pixels alike."""
    motion_weight: float = Field(default=0.0, ge=0, le=1e6)
    """Extra weight of pixels that differ from the frame before, at least 0."""
    worst_pixel_weight: float = Field(default=0.0, ge=0, le=1e6)
    """Weight of the worst pixel's squared error, at least 0; 0.01 in Micheli et al. (2024)."""
    latent_l2: float = Field(default=0.0, ge=0, le=1e6)
    """Weight of the latent's mean squared size in the loss, at least 0."""
    decoder_weight_decay: float = Field(default=0.0, ge=0, le=1)
    """Decoupled weight decay of the decoder in each update, relative to the step size, 0 to 1."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the latent that is set to zero while training, 0 to below 1."""
    latent_noise: float = Field(default=0.0, ge=0, le=10)
    """Standard deviation of noise that is added to latents while training, 0 to 10."""
    input_noise: float = Field(default=0.0, ge=0, le=1)
    """Standard deviation of noise on input pixels in [0, 1], which the target lacks, 0 to 1."""
    random_shift: int = Field(default=0, ge=0, le=42)
    """Pixels by which input and target are shifted at most, both alike, 0 to 42."""
    inverse_dynamics_weight: float = Field(default=0.0, ge=0, le=1e6)
    """Weight of telling the action between two frames from their latents, at least 0."""


class Autoencoder(DrawingEmbedder):
    """Frames in, all of them out again, through a narrow latent."""

    builds: ClassVar[str] = "rlmaster.embedders.autoencoder:AutoencoderEmbedder"


class VariationalAutoencoder(DrawingEmbedder):
    """An autoencoder whose latents are drawn from a distribution that is kept near the normal one.

    Source: Kingma and Welling (2014).
    """

    builds: ClassVar[str] = "rlmaster.embedders.variational:VariationalAutoencoderEmbedder"

    kl_weight: float = Field(default=1e-6, ge=0, le=1e6)
    """Weight of the divergence from the normal distribution, summed over the latent, at least 0."""
    latent_normalisation: Literal["layer_norm_tanh", "none"] = "none"
    """Whether means are normalised and squashed into (-1, 1)."""


class ForwardPredictor(DrawingEmbedder):
    """Four frames and the action taken then in, the next frame out, and no other."""

    builds: ClassVar[str] = "rlmaster.embedders.forward:ForwardPredictorEmbedder"

    stacked_frames: int = Field(default=4, ge=1, le=16)
    """Frames that one latent is made of, the newest of an observation, 1 to 16."""
    uses_action: bool = True
    """Whether the decoder is told the action between the newest frame and the next."""


class InverseDynamics(DrawingEmbedder):
    """Two observations in a row in, the action between them out, through their latents.

    A decoder learns beside it to draw what the latents hold, and does not change them.
    Source: Pathak et al. (2017), equation 2.
    """

    builds: ClassVar[str] = "rlmaster.embedders.inverse:InverseDynamicsEmbedder"

    inverse_dynamics_weight: float = Field(default=1.0, gt=0, le=1e6)
    """Weight of telling the action between two frames from their latents, above 0."""


class RandomEncoder(DrawingEmbedder):
    """Convolutions that are never trained: what the other embedders have to beat.

    A decoder learns beside it to draw what the latents hold, and does not change them.
    """

    builds: ClassVar[str] = "rlmaster.embedders.random_encoder:RandomEncoderEmbedder"


class PixelEncoder(ConvolutionalEmbedder):
    """Convolutions alone, which only an agent's loss can train.

    Left at its defaults it is what Mnih et al. (2015) have below the layer of 512 units.
    """

    builds: ClassVar[str] = "rlmaster.embedders.pixel_encoder:PixelEncoder"
    has_loss: ClassVar[bool] = False

    stacked_frames: int = 4
    projection: Literal["linear", "none"] = "none"
    latent_dim: int = 3136
    latent_normalisation: Literal["layer_norm_tanh", "none"] = "none"
