"""How well an embedder draws frames that it never trained on.

Shapes: B batch, N measured frames, S frames in a row, H height, W width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlmaster.atari.ball import BallBoxes
from rlmaster.embedders.base import BaseEmbedder, Preview, undisturbed
from rlmaster.embedders.foreground import foreground, median_background
from rlmaster.errors import TrainingError
from rlmaster.replay.batches import SequenceBatch
from rlmaster.replay.frame_store import Episode, FrameStore
from rlmaster.training.ball_error import BallError, BallTally

Indices = NDArray[np.int64]

MEASURED_FRAMES = 1024
"""More change the error's third digit at most, and make every evaluation longer."""
BACKGROUND_FRAMES = 512
BATCH_FRAMES = 256


@dataclass(frozen=True)
class FrameErrors:
    """Mean squared errors of some frames, of pixels in [0, 1]."""

    error: float
    """Over all pixels."""
    foreground_error: float | None
    """Over pixels that differ from the game's background; None where none does."""
    ball: BallError | None = None
    """What became of the ball; None where it is not known where the ball is, or none is seen."""


@dataclass(frozen=True)
class Measurement:
    """What one evaluation came to."""

    canonical: FrameErrors
    """Of the game's canonical frames, the same for every run."""
    held_out: FrameErrors
    """Of the run's own frames that are kept from training."""

    def scalars(self) -> Mapping[str, float]:
        """Return all that is known, by the tag of its curve."""
        ball = self.canonical.ball
        values = {
            "canonical/error": self.canonical.error,
            "canonical/foreground_error": self.canonical.foreground_error,
            "canonical/ball_error": ball.error if ball else None,
            "canonical/ball_found": ball.found if ball else None,
            "held_out/error": self.held_out.error,
            "held_out/foreground_error": self.held_out.foreground_error,
        }
        return {tag: value for tag, value in values.items() if value is not None}


class MeasuredFrames:
    """Frames that measure, with what came before each, and what counts as their foreground."""

    def __init__(
        self,
        store: FrameStore,
        indices: Indices,
        background: Tensor,
        balls: BallBoxes | None = None,
    ) -> None:
        """Choose nothing: all of the frames are measured.

        Args:
            store: Where they are.
            indices: The frames, `(N,)`.
            background: What the game shows without anything that moves, `(1, 1, H, W)` in [0, 1].
            balls: Where the ball is in each of them, if that is known.

        Raises:
            TrainingError: If there is no frame.
        """
        if not len(indices):
            raise TrainingError(
                "no frame is left to measure with, as every episode is shorter than what the "
                "embedder looks at; collect more steps (frames.steps)"
            )
        self._store = store
        self._indices = indices
        self._background = background
        self._balls = balls

    def measure(self, embedder: BaseEmbedder) -> FrameErrors:
        """Return the embedder's errors; weights and random streams stay as they are."""
        sums = torch.zeros(4, dtype=torch.float64, device=self._background.device)
        tally = BallTally(self._background[0, 0].cpu().numpy())
        for first in range(0, len(self._indices), BATCH_FRAMES):
            chosen = slice(first, first + BATCH_FRAMES)
            batch = self._store.sequences_at(self._indices[chosen], embedder.sequence_length)
            preview = draw(embedder, batch)
            sums += self._sums_of(preview)
            if self._balls is not None:
                _add_balls(tally, preview, self._balls.at(chosen))
        squared, pixels, foreground_squared, foreground_pixels = sums.tolist()
        in_front = foreground_squared / foreground_pixels if foreground_pixels else None
        return FrameErrors(squared / pixels, in_front, tally.result())

    def _sums_of(self, preview: Preview) -> Tensor:
        squared = (preview.reconstruction - preview.target).square()
        changing = foreground(preview.target, self._background)
        in_front = torch.where(changing, squared, 0)
        pixels = torch.full_like(squared.sum(), squared.numel())
        sums = [squared.sum(), pixels, in_front.sum(), changing.sum()]
        return torch.stack([value.double() for value in sums])


def _add_balls(tally: BallTally, preview: Preview, balls: BallBoxes) -> None:
    target, drawn = (
        frames[:, 0].cpu().numpy()[balls.visible]
        for frames in (preview.target, preview.reconstruction)
    )
    tally.add(target, drawn, balls.box[balls.visible])


@dataclass(frozen=True)
class Evaluation:
    """All frames that measure a run."""

    canonical: MeasuredFrames
    """The same for every run of the game."""
    held_out: MeasuredFrames
    """The run's own."""

    def measure(self, embedder: BaseEmbedder) -> Measurement:
        """Return the embedder's errors; weights and random streams stay as they are."""
        return Measurement(self.canonical.measure(embedder), self.held_out.measure(embedder))


def held_out_frames(
    store: FrameStore,
    train: Sequence[Episode],
    held_out: Sequence[Episode],
    embedder: BaseEmbedder,
    balls: BallBoxes | None = None,
) -> MeasuredFrames:
    """Return frames spread evenly over held-out episodes; the background is of training ones.

    Args:
        store: All frames.
        train: Episodes to train on.
        held_out: Episodes that are never trained on.
        embedder: Says how many frames must have been played before one can be drawn.
        balls: Where the ball is in each frame of the store, by its index, if that is known.

    Raises:
        TrainingError: If no held-out episode is long enough.
    """
    indices = store.frame_indices(held_out, after=embedder.least_frames - 1)
    chosen = evenly_chosen(indices, MEASURED_FRAMES)
    sample = store.frames_at(evenly_chosen(store.frame_indices(train), BACKGROUND_FRAMES))
    seen = balls.at(chosen) if balls else None
    return MeasuredFrames(store, chosen, median_background(sample), seen)


def draw(embedder: BaseEmbedder, batch: SequenceBatch) -> Preview:
    """Return what should come out for some frames and what does, as float32.

    Weights, modes and random streams stay as they are.

    Raises:
        TrainingError: If the embedder's pictures are not of one size.
    """
    with undisturbed(embedder):
        preview = embedder.preview(batch)
    wanted = (len(batch.frames), 1, *batch.frames.shape[2:])
    shapes = preview.target.shape, preview.reconstruction.shape
    if any(tuple(shape) != wanted for shape in shapes):
        raise TrainingError(
            f"the preview of {type(embedder).__name__} gives pictures of shapes "
            f"{tuple(shapes[0])} and {tuple(shapes[1])} where both should be {wanted}"
        )
    return Preview(preview.target.float(), preview.reconstruction.float())


def evenly_chosen(indices: Indices, count: int) -> Indices:
    """Return at most `count` of the indices, evenly spaced over them."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(np.int64)]
