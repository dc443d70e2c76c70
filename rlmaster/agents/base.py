"""What every agent offers, so that the training loop, evaluation and films need to know none.

Shapes: B batch, K stacked frames, H and W pixels, A actions.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from rlmaster.agent_choices import Agent
from rlmaster.agents.encoder import ObservationEncoder
from rlmaster.atari.actions import num_actions
from rlmaster.embedders.base import build_embedder
from rlmaster.errors import TrainingError
from rlmaster.experiment import Experiment
from rlmaster.replay.batches import TransitionBatch
from rlmaster.specification import resolve


@dataclass(frozen=True)
class AgentLoss:
    """What an update reduces, and what it says about each transition."""

    total: Tensor
    """A scalar."""
    priority: Tensor
    """How much there is still to learn of each transition, at least 0, `(B,)`."""
    parts: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Scalars to draw curves of."""


class BaseAgent(nn.Module, ABC):
    """Chooses actions, and mostly has a loss to learn them by.

    A subclass is built as `module(specification, encoder, num_actions=)`. Its weights are all that
    it consists of, so a checkpoint of them is a checkpoint of the agent.

    Attributes:
        encoder: What makes latents of observations.
        num_actions: Actions that the game offers, A.
    """

    learns: bool = True
    """Whether there is anything to update."""

    def __init__(self, encoder: ObservationEncoder, *, num_actions: int) -> None:
        """Keep what all agents have."""
        super().__init__()
        self.encoder = encoder
        self.num_actions = num_actions

    @abstractmethod
    def act(self, observation: Tensor) -> Tensor:
        """Return the actions that look best, `(B,)` int64, for observations `(B, K, H, W)`, uint8.

        Where latents are kept they come in place of observations, as the encoder returns them. In
        training mode an agent that explores by itself does so.
        """

    def loss(self, batch: TransitionBatch) -> AgentLoss:
        """Return the loss of a batch; called under autocast, so it reduces in float32."""
        raise TrainingError(f"{type(self).__name__} learns nothing, so it has no loss")

    def target_moves(self, update: int) -> bool:
        """Tell whether the target networks move after an update of that number."""
        del update
        return False

    def move_target(self, *, wholly: bool = False) -> None:
        """Bring the target networks nearer to those that learn; wholly, to be the same."""

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Return the weights that the loss trains whatever becomes of the encoder."""
        return iter(())


def build_agent(experiment: Experiment) -> BaseAgent:
    """Build the agent that an experiment names, and its encoder, with random weights.

    Raises:
        TrainingError: If there is no such class, or the observations do not fit its encoder.
    """
    specification: Agent | None = experiment.agent
    if specification is None:
        raise TrainingError("this experiment has no agent; it is about the embedder alone")
    try:
        module: Any = resolve(specification.builds)
    except ValueError as error:
        raise TrainingError(f"agent.builds: {error}") from error
    encoder = ObservationEncoder(build_embedder(experiment), experiment)
    return module(specification, encoder, num_actions=num_actions(experiment.environment))
