"""The autoencoder: frames through a narrow latent, and the newest of them back."""

from rlmaster.embedders.drawing import BaseDrawingEmbedder


class AutoencoderEmbedder(BaseDrawingEmbedder):
    """One or more frames in, the newest of them out."""
