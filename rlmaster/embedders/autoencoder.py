"""The autoencoder: frames through a narrow latent, and back."""

from rlmaster.embedders.drawing import BaseDrawingEmbedder


class AutoencoderEmbedder(BaseDrawingEmbedder):
    """One or more frames in, the same out."""
