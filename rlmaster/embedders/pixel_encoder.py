"""The pixel encoder: convolutions alone, which learn from an agent's loss or not at all.

Shapes: B batch, S frames in a row, L latent; frames are 84x84.
"""

from typing import ClassVar, NoReturn

from torch import Tensor

from rlmaster import embedder_choices
from rlmaster.embedders.base import BaseEmbedder, channels_innermost, unit_interval
from rlmaster.errors import TrainingError
from rlmaster.networks import FrameEncoder
from rlmaster.replay.batches import SequenceBatch


class PixelEncoder(BaseEmbedder):
    """Frames in [0, 1] go in as they are: no background is taken away, and nothing is drawn."""

    draws: ClassVar[bool] = False

    def __init__(self, specification: embedder_choices.PixelEncoder, *, num_actions: int) -> None:
        """Build the networks with random weights; the game's actions are of no use here."""
        del num_actions
        super().__init__(specification.latent_dim, sequence_length=specification.stacked_frames)
        self.encoder = FrameEncoder(specification)

    def embed(self, observation: Tensor) -> Tensor:
        """Return the latent `(B, L)` of the newest frames of an observation `(B, S, 84, 84)`."""
        newest = channels_innermost(observation[:, -self.sequence_length :])
        return self.encoder(unit_interval(newest))

    def loss(self, batch: SequenceBatch) -> NoReturn:
        """Refuse to be trained without an agent.

        Raises:
            TrainingError: Always.
        """
        raise TrainingError(
            "a PixelEncoder has no loss of its own; let an agent train it (encoder.losses=td), or "
            "choose another embedder, such as Autoencoder"
        )

    def preview(self, batch: SequenceBatch) -> NoReturn:
        """Refuse to draw.

        Raises:
            TrainingError: Always.
        """
        raise TrainingError(
            "a PixelEncoder draws no frames; choose an embedder that does, such as Autoencoder"
        )
