"""One update as a CUDA graph: the GPU replays its hundred small kernels without being told each.

An update of these small networks takes the GPU less time than the processor needs to start its
kernels one by one. Recorded once, all of them start together.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields

import torch
from torch import Tensor

from rlmaster.replay.batches import SequenceBatch

WARM_UP_UPDATES = 3
"""Ordinary updates before the recording, in which libraries choose their kernels."""

Losses = dict[str, Tensor]


class GraphedUpdate:
    """Updates like the one that it is given, from the fourth on as a graph.

    Every update, those of the warm-up too, is one of the run's: none is done for a trial. The graph
    reads and writes the weights where they lie, so they must not be replaced, only overwritten.
    """

    def __init__(self, update: Callable[[SequenceBatch], Losses]) -> None:
        """Record nothing yet.

        Args:
            update: Changes the weights and returns losses, without waiting for the GPU.
        """
        self._update = update
        self._stream = torch.cuda.Stream()
        self._graph = torch.cuda.CUDAGraph()
        self._batch: SequenceBatch | None = None
        self._losses: Losses = {}
        self._updates = 0

    def __call__(self, batch: SequenceBatch) -> Losses:
        """Update with a batch, which must be of the same size each time."""
        self._updates += 1
        if self._updates <= WARM_UP_UPDATES:
            with _beside(self._stream):
                return self._update(batch)
        if self._updates == WARM_UP_UPDATES + 1:
            self._try_to_record(batch)
        if self._batch is None:
            return self._update(batch)
        _copy(batch, self._batch)
        self._graph.replay()
        return {name: loss.clone() for name, loss in self._losses.items()}

    def _try_to_record(self, batch: SequenceBatch) -> None:
        """Record an update; one that waits for the GPU cannot be recorded, and goes on as it is."""
        try:
            self._batch = self._record(batch)
        except RuntimeError as error:
            sys.stderr.write(f"updates are not recorded as a CUDA graph: {error}\n")

    def _record(self, batch: SequenceBatch) -> SequenceBatch:
        """Record an update of copies of a batch, which are returned; nothing is computed yet."""
        mine = SequenceBatch(*(getattr(batch, field.name).clone() for field in fields(batch)))
        with torch.cuda.graph(self._graph):
            self._losses = self._update(mine)
        return mine


@contextmanager
def _beside(stream: torch.cuda.Stream) -> Iterator[None]:
    """Work on another stream than the usual one, after what was begun there and before the rest."""
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


def _copy(source: SequenceBatch, target: SequenceBatch) -> None:
    for field in fields(source):
        getattr(target, field.name).copy_(getattr(source, field.name))
