"""The inverse model: which action was taken between two observations, told from their latents.

Source: Pathak et al. (2017), equation 2.
Shapes: B batch, L latent.
"""

from typing import ClassVar

from torch import Tensor

from rlmaster.embedders.drawing import BaseDrawingEmbedder, Term


class InverseDynamicsEmbedder(BaseDrawingEmbedder):
    """Latents learn the action alone; the decoder learns to draw the newest frame from them."""

    draws_whole_stack: ClassVar[bool] = False

    def _code(self, features: Tensor, latents: Tensor) -> tuple[Tensor, dict[str, Term]]:
        del features
        return latents.detach(), {}
