"""The forward predictor: frames and the action taken then in, the frame after them out.

What comes out is never a frame that went in, so a latent has to hold what moves, and where to.

Shapes: B batch, L latent, A actions.
"""

from typing import ClassVar

import torch
from torch import Tensor

from rlmaster.embedder_choices import ForwardPredictor
from rlmaster.embedders.drawing import BaseDrawingEmbedder, Sight


class ForwardPredictorEmbedder(BaseDrawingEmbedder):
    """Draws the next frame from the latent of those before and, if wanted, the action."""

    drawing: ClassVar[str] = "prediction"
    draws_next_frame: ClassVar[bool] = True

    def __init__(self, specification: ForwardPredictor, *, num_actions: int) -> None:
        """Build the networks with random weights; see the base."""
        told = num_actions if specification.uses_action else 0
        super().__init__(
            specification,
            num_actions=num_actions,
            decoder_inputs=specification.latent_dim + told,
        )
        self.told_actions = told

    def _draw(self, code: Tensor, sight: Sight) -> Tensor:
        told = one_hot(sight.batch.actions[:, -2], self.told_actions)
        return super()._draw(torch.cat([code, told], 1), sight)


def one_hot(actions: Tensor, num_actions: int) -> Tensor:
    """Return 1 at each action's place and 0 elsewhere, `(B, A)` float32; an unknown one has no 1.

    Args:
        actions: `(B,)` int64, -1 where unknown.
        num_actions: A.
    """
    return (actions[:, None] == torch.arange(num_actions, device=actions.device)).float()
