"""What every embedder offers, whatever it learns from.

Shapes: B batch, S frames in a row, H height, W width, L latent.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from rlmaster.atari.actions import num_actions
from rlmaster.embedder_choices import Embedder
from rlmaster.errors import TrainingError
from rlmaster.experiment import Experiment
from rlmaster.replay.batches import SequenceBatch
from rlmaster.specification import resolve


@dataclass(frozen=True)
class EmbedderLoss:
    """A loss and what it is made of."""

    total: Tensor
    """What is minimised, a scalar."""
    parts: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """What else is worth a curve, by its name: scalars that no gradient reaches."""


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
    """Turns observations into latents; subclasses say how, and what they learn from.

    What changes while it learns lives in parameters, in buffers, or in torch's random generator:
    only these survive a resume. A counter in a Python attribute, `random` and `np.random` begin
    anew. A NaN in a parameter or a buffer ends the run.
    """

    drawing: ClassVar[str] = "reconstruction"
    """What pictures call the frame that comes out: a reconstruction, or a prediction."""
    draws: ClassVar[bool] = True
    """Whether a frame comes out at all, so that there is a `preview`."""

    def __init__(self, latent_dim: int, *, sequence_length: int = 1, least_frames: int = 1) -> None:
        """Keep what the rest must know.

        Args:
            latent_dim: Size of the latent, L.
            sequence_length: Frames in a row that `loss` and `preview` need, S. The replay supplies
                them; where an episode is younger, the missing ones are zero and masked out.
            least_frames: How many of them must have been played, 1 to S: 2 where the frame before
                the newest and the action there are needed.
        """
        super().__init__()
        self.latent_dim = latent_dim
        self.sequence_length = sequence_length
        self.least_frames = least_frames

    def prepare(self, frames: Tensor) -> None:
        """Look at training frames `(B, 1, H, W)`, uint8, once before the first update.

        A resume does so again, with the weights of the very beginning, before it loads its
        checkpoint. A buffer may be made here, a module may not: `load_networks` could not name it.
        """

    @abstractmethod
    def embed(self, observation: Tensor) -> Tensor:
        """Return the latent `(B, L)` of an observation `(B, S, H, W)`, uint8."""

    @abstractmethod
    def loss(self, batch: SequenceBatch) -> EmbedderLoss:
        """Return the loss of a batch; called under autocast, so it reduces in float32."""

    @abstractmethod
    def preview(self, batch: SequenceBatch) -> Preview:
        """Return what should come out of the networks and what does."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters that are trained, as torch's optimisers take them."""
        return [{"params": [weight for weight in self.parameters() if weight.requires_grad]}]

    def keep(self, keeper: Keeper, step: int) -> None:
        """Keep whatever is interesting about the weights; called after each evaluation."""


def build_embedder(experiment: Experiment) -> BaseEmbedder:
    """Build the module that the experiment's embedder names, with random weights.

    Raises:
        TrainingError: If there is no such class.
    """
    specification: Embedder = experiment.embedder
    try:
        module = resolve(specification.builds)
    except ValueError as error:
        raise TrainingError(f"embedder.builds: {error}") from error
    return module(specification, num_actions=num_actions(experiment.environment))


def load_networks(module: nn.Module, networks: Mapping[str, Tensor]) -> None:
    """Load a checkpoint's networks into an embedder, or an agent, built but not prepared.

    Buffers that only an embedder's `prepare` makes are made from the checkpoint.

    Raises:
        TrainingError: If they are of other networks.
    """
    device = next((weight.device for weight in module.parameters()), None)
    try:
        for name in sorted(networks.keys() - module.state_dict().keys()):
            if _is_in_an_embedder(module, name):
                owner, _, buffer = name.rpartition(".")
                made = networks[name].to(device, copy=True)
                module.get_submodule(owner).register_buffer(buffer, made)
        module.load_state_dict(dict(networks))
    except (AttributeError, KeyError, RuntimeError) as error:
        raise TrainingError(
            f"these weights are of other networks than {type(module).__name__} builds"
        ) from error


def _is_in_an_embedder(module: nn.Module, name: str) -> bool:
    """Tell whether a name in a module is of an embedder, which the module may be itself."""
    embedders = (p for p, inner in module.named_modules() if isinstance(inner, BaseEmbedder))
    return any(name.startswith(f"{path}." if path else "") for path in embedders)


@contextmanager
def undisturbed(networks: nn.Module) -> Iterator[None]:
    """Look at networks in evaluation mode; their training then goes on as if nobody had."""
    modes = [(module, module.training) for module in networks.modules()]
    devices = {weight.device for weight in networks.parameters() if weight.device.type == "cuda"}
    networks.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(list(devices)):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def unit_interval(frames: Tensor) -> Tensor:
    """Convert stored frames, uint8, to float32 in [0, 1]."""
    return frames.float() / 255


def channels_innermost(frames: Tensor) -> Tensor:
    """Return frames `(B, S, H, W)`, uint8, laid out for convolutions: a pixel's S bytes in a row.

    Convolutions would do so themselves, each network anew. It is cheaper only where it is compiled
    and four bytes make an integer, which a processor does for many pixels at once; elsewhere frames
    stay as they are.
    """
    if not (torch.compiler.is_compiling() and frames.shape[1] == 4 and frames.device.type == "cpu"):
        return frames
    first, second, third, fourth = frames.to(torch.int32).unbind(1)
    pixels = first | second << 8 | third << 16 | fourth << 24  # the lowest byte comes first
    return pixels.view(torch.uint8).unflatten(2, (-1, 4)).permute(0, 3, 1, 2)
