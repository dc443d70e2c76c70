"""A linear embedder: principal components, learned by gradient descent."""

from typing import ClassVar

from pydantic import Field

from rlmaster import Embedder


class Linear(Embedder):
    """One matrix down, one matrix up."""

    builds: ClassVar[str] = "linear_embedder:LinearEmbedder"

    latent_noise: float = Field(default=0.0, ge=0, le=1)
    """Standard deviation of the noise that is added to latents in training, 0 to 1."""
