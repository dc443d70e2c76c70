"""How well an embedder draws frames of episodes that it never trained on.

Shapes: B batch, N measured frames; frames are 84x84.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlmaster.embedders.base import BaseEmbedder, FrameBatch, undisturbed
from rlmaster.embedders.foreground import foreground, median_background
from rlmaster.replay.frame_store import FrameStore

Indices = NDArray[np.int64]

MEASURED_FRAMES = 2048
"""More change the error's third digit at most, and make every evaluation longer."""
BACKGROUND_FRAMES = 512
BATCH_FRAMES = 256


@dataclass(frozen=True)
class HeldOutError:
    """Mean squared error of held-out pixels, each in [0, 1]."""

    error: float
    """Over all pixels."""
    foreground_error: float
    """Over pixels that differ from the game's background: the ball, the paddles, the score."""


class HeldOut:
    """The frames that measure, and what counts as their foreground."""

    def __init__(
        self, store: FrameStore, train_indices: Indices, held_out_indices: Indices
    ) -> None:
        """Choose the measured frames evenly from the held-out ones.

        Args:
            store: All frames.
            train_indices: Flat indices of training frames; their median is the background.
            held_out_indices: Flat indices of frames that are never trained on.
        """
        self.frames = store.frames_at(evenly_chosen(held_out_indices, MEASURED_FRAMES))
        sample = store.frames_at(evenly_chosen(train_indices, BACKGROUND_FRAMES))
        self.background = median_background(sample)

    def measure(self, embedder: BaseEmbedder) -> HeldOutError:
        """Return the embedder's error; weights and random streams stay as they are."""
        squared, foreground_squared = 0.0, 0.0
        foreground_pixels = 0.0
        with undisturbed(embedder):
            for frames in self.frames.split(BATCH_FRAMES):
                preview = embedder.preview(FrameBatch(frames))
                error = (preview.reconstruction - preview.target).square()
                changing = foreground(preview.target, self.background)
                squared += float(error.sum())
                foreground_squared += float(error[changing].sum())
                foreground_pixels += float(changing.sum())
        return HeldOutError(
            squared / self.frames.numel(), foreground_squared / max(foreground_pixels, 1.0)
        )


def evenly_chosen(indices: Indices, count: int) -> Indices:
    """Return at most `count` of the indices, evenly spaced over them."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(np.int64)]
