"""What every embedder offers, whatever it learns from.

Shapes: B batch, S frames in a row, H height, W width, L latent.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor, nn

from rlmaster.experiment import Embedder, Experiment
from rlmaster.specification import resolve


@dataclass(frozen=True)
class FrameBatch:
    """Frames as the replay stores them."""

    frames: Tensor
    """`(B, S, H, W)`, uint8, oldest first."""


@dataclass(frozen=True)
class EmbedderLoss:
    """A loss and what it is made of."""

    total: Tensor
    """What is minimised, a scalar."""


@dataclass(frozen=True)
class Preview:
    """What an embedder makes of its input, as pictures."""

    target: Tensor
    """The frame that should come out, `(B, 1, H, W)`, in [0, 1]."""
    reconstruction: Tensor
    """The frame that does come out, `(B, 1, H, W)`, in [0, 1]."""


class Keeper(Protocol):
    """What an embedder may keep in the run folder; `rlmaster.training.recording` is one."""

    def tensor(self, name: str, value: Tensor, step: int | None = None) -> None:
        """Keep a tensor, of any shape."""
        ...

    def scalars(self, step: int, values: Mapping[str, Tensor | float]) -> None:
        """Keep the value of each tag at a step."""
        ...


class BaseEmbedder(nn.Module, ABC):
    """Turns observations into latents; subclasses say how, and what they learn from."""

    frames_needed: ClassVar[int] = 1
    """S: how many frames in a row a batch must have."""

    def __init__(self, latent_dim: int) -> None:
        """Keep the size of the latent, L."""
        super().__init__()
        self.latent_dim = latent_dim

    def prepare(self, frames: Tensor) -> None:
        """Look at training frames `(B, 1, H, W)`, uint8, once before the first update."""

    @abstractmethod
    def embed(self, observation: Tensor) -> Tensor:
        """Return the latent `(B, L)` of an observation `(B, S, H, W)`, uint8."""

    @abstractmethod
    def loss(self, batch: FrameBatch) -> EmbedderLoss:
        """Return the loss of a batch; called under autocast, so it reduces in float32."""

    @abstractmethod
    def preview(self, batch: FrameBatch) -> Preview:
        """Return what should come out of the networks and what does."""

    def keep(self, keeper: Keeper, step: int) -> None:
        """Keep whatever is interesting about the weights; called after each evaluation."""


def build_embedder(experiment: Experiment) -> BaseEmbedder:
    """Build the module that the experiment's embedder names, with random weights."""
    specification: Embedder = experiment.embedder
    return resolve(specification.builds)(specification)


def unit_interval(frames: Tensor) -> Tensor:
    """Convert stored frames, uint8, to float32 in [0, 1]."""
    return frames.float() / 255
