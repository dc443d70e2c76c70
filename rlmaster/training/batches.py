"""The batches that an embedder is trained on: each follows from the seed and its update's number.

So a run that goes on from a checkpoint needs to know nothing about the batches before it.
"""

from collections.abc import Iterator

import numpy as np

from rlmaster.embedders.base import BaseEmbedder
from rlmaster.errors import TrainingError
from rlmaster.replay.batches import SequenceBatch
from rlmaster.replay.frame_store import Episode, FrameStore

BATCHES_AT_ONCE = 8
"""Batches that are gathered in one go, which costs each of them a fraction of the bookkeeping."""


class Batches:
    """Sequences that end at frames drawn uniformly, with replacement, from some episodes."""

    def __init__(
        self,
        store: FrameStore,
        episodes: list[Episode],
        embedder: BaseEmbedder,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        """Draw nothing yet.

        Args:
            store: Where the frames are.
            episodes: Which of its episodes are trained on.
            embedder: Says how long a sequence must be.
            batch_size: Sequences in a batch.
            seed: Of the draws.

        Raises:
            TrainingError: If every episode is shorter than what the embedder learns from.
        """
        self._store = store
        self._indices = store.frame_indices(episodes, after=embedder.least_frames - 1)
        if not len(self._indices):
            raise TrainingError(
                f"no training episode is as long as the {embedder.least_frames} frames that "
                f"{type(embedder).__name__} learns from; collect more steps (frames.steps)"
            )
        self._length = embedder.sequence_length
        self._batch_size = batch_size
        self._seed = seed

    def after(self, update: int) -> Iterator[SequenceBatch]:
        """Yield the batches of the updates after the one of that number, for ever."""
        block, done = divmod(update, BATCHES_AT_ONCE)
        while True:
            yield from self._block(block)[done:]
            block, done = block + 1, 0

    def _block(self, number: int) -> list[SequenceBatch]:
        generator = np.random.default_rng([self._seed, number])
        count = BATCHES_AT_ONCE * self._batch_size
        chosen = generator.integers(len(self._indices), size=count)
        return self._store.sequences_at(self._indices[chosen], self._length).split(self._batch_size)
