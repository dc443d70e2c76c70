"""An update of an agent as one CUDA graph, which the processor starts with a single call.

A GPU computes an update of a small network in less time than the processor takes to ask for its
hundreds of kernels one by one. Recorded once, they are asked for together.

A graph repeats what the GPU was told and runs no Python. So only agents and embedders of RLmaster
are recorded, whose losses depend on tensors alone: what others wrote may decide in Python.
"""

from dataclasses import fields

import torch
from torch import Tensor
from torch.optim import Optimizer

from rlmaster.agents.base import BaseAgent
from rlmaster.replay.batches import TransitionBatch
from rlmaster.training.update import AgentUpdate, Losses

WARM_UP_UPDATES = 3
"""Done as they are asked for, in which libraries choose their kernels and the optimiser begins."""


def can_be_captured(agent: BaseAgent, optimiser: Optimizer) -> bool:
    """Tell whether an agent's updates may become a CUDA graph."""
    of_rlmaster = all(
        type(part).__module__.startswith("rlmaster.") for part in (agent, agent.encoder.embedder)
    )
    # On a processor none is.
    return of_rlmaster and all(group.get("capturable") for group in optimiser.param_groups)


class CapturedUpdate:
    """An update that is recorded after the first few, and repeated from then on.

    It is recorded anew when the agent's loss begins or ceases to change the encoder.
    """

    def __init__(self, update: AgentUpdate, agent: BaseAgent) -> None:
        """Record nothing yet.

        Args:
            update: What to record. All that it reads and writes stays where it is in memory.
            agent: Whose update it is.
        """
        self._update = update
        self._agent = agent
        self._changes_encoder: bool | None = None
        """Whether it did when the graph was begun; None before the first."""
        self._warm_ups = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: TransitionBatch) -> tuple[Losses, Tensor]:
        """Do one update, and return its losses and priorities `(B,)`."""
        if self._changes_encoder is not self._agent.encoder.td_trains:
            self._begin(batch)
        for field in fields(batch):
            getattr(self._batch, field.name).copy_(getattr(batch, field.name))
        if self._warm_ups < WARM_UP_UPDATES:
            self._warm_ups += 1
            return self._warm_up()
        if self._graph is None:
            self._graph = self._record()
        self._graph.replay()
        losses, priority = self._made
        # Copies, for the next update writes where these lie.
        return {name: value.clone() for name, value in losses.items()}, priority.clone()

    def _begin(self, batch: TransitionBatch) -> None:
        """Make the batch that every update reads."""
        self._changes_encoder = self._agent.encoder.td_trains
        tensors = {field.name: getattr(batch, field.name).clone() for field in fields(batch)}
        self._batch = TransitionBatch(**tensors)
        self._warm_ups, self._graph = 0, None

    def _warm_up(self) -> tuple[Losses, Tensor]:
        """Do an update on a stream of its own, as recording asks for."""
        own, current = torch.cuda.Stream(), torch.cuda.current_stream()
        own.wait_stream(current)
        with torch.cuda.stream(own):
            made = self._update(self._batch)
        current.wait_stream(own)
        return made

    def _record(self) -> torch.cuda.CUDAGraph:
        """Record an update without doing it."""
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as the one that writes the replay, may use the GPU meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._made = self._update(self._batch)
        return graph
