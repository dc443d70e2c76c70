"""The random encoder: convolutions that are never trained, which the others have to beat."""

from rlmaster.embedder_choices import RandomEncoder
from rlmaster.embedders.drawing import BaseDrawingEmbedder


class RandomEncoderEmbedder(BaseDrawingEmbedder):
    """Latents stay what the first weights make of a frame; a decoder learns to draw from them."""

    def __init__(self, specification: RandomEncoder, *, num_actions: int) -> None:
        """Build the networks with random weights, and freeze the encoder's."""
        super().__init__(specification, num_actions=num_actions)
        self.encoder.requires_grad_(False)
