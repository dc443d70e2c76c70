"""The pictures of a run: a few held-out moments at every preview, whole episodes at the end."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from torch import Tensor

from rlmaster.embedders.base import BaseEmbedder, FrameBatch, undisturbed
from rlmaster.replay.frame_store import Episode, FrameStore
from rlmaster.training.evaluation import Indices, evenly_chosen
from rlmaster.training.pictures import (
    Frames,
    Window,
    draw_preview,
    moving_window,
    usual_motion,
)
from rlmaster.training.recording import Recording, to_numpy
from rlmaster.training.video import write_video

EXAMPLES = 3
CANDIDATES = 128
FILM_BATCH_FRAMES = 128


class Gallery:
    """Draws what an embedder makes of chosen held-out frames."""

    def __init__(self, store: FrameStore, held_out: list[Episode], embedder: BaseEmbedder) -> None:
        """Choose moments in which something moves, one from each part of the held-out frames."""
        self._store = store
        self._embedder = embedder
        moving = np.concatenate([store.frame_indices([episode])[1:] for episode in held_out])
        candidates = evenly_chosen(moving, CANDIDATES)
        frames = self._pixels(candidates)
        previous = self._pixels(candidates - store.num_environments)
        chosen, self._windows = choose_moments(frames, previous, EXAMPLES)
        self._frames = store.frames_at(candidates[chosen])

    def record(self, recording: Recording, step: int) -> None:
        """Draw the chosen moments as the networks see them now; the rest is background work."""
        original, drawn = reconstruct(self._embedder, self._frames)
        error = float(np.mean(((original.astype(np.float32) - drawn) / 255) ** 2))
        caption = f"update {step:,}   mean squared error {error:.2g}"
        recording.preview(step, lambda: draw_preview(original, drawn, self._windows, caption))

    def film(self, path: Path, episodes: list[Episode], on_progress: Callable[[int], None]) -> None:
        """Write a video of original beside reconstruction over whole episodes.

        Args:
            path: The MP4.
            episodes: Which episodes, one after the other.
            on_progress: Told how many frames are done; what it raises ends the film.

        Raises:
            TrainingError: If it cannot be made.
        """
        write_video(path, self._pairs(episodes, on_progress))

    def _pairs(
        self, episodes: list[Episode], on_progress: Callable[[int], None]
    ) -> Iterator[tuple[Frames, Frames]]:
        done = 0
        all_indices = self._store.frame_indices(episodes)
        for first in range(0, len(all_indices), FILM_BATCH_FRAMES):
            indices = all_indices[first : first + FILM_BATCH_FRAMES]
            frames = self._store.frames_at(indices)
            yield from zip(*reconstruct(self._embedder, frames), strict=True)
            done += len(indices)
            on_progress(done)

    def _pixels(self, indices: Indices) -> Frames:
        return self._store.frames_at(indices)[:, 0].cpu().numpy()


def reconstruct(embedder: BaseEmbedder, frames: Tensor) -> tuple[Frames, Frames]:
    """Return what should come out for stored frames `(B, 1, H, W)` and what does, `(B, H, W)`."""
    with undisturbed(embedder):
        preview = embedder.preview(FrameBatch(frames))
    return to_numpy(preview.target), to_numpy(preview.reconstruction)


def choose_moments(frames: Frames, previous: Frames, count: int) -> tuple[list[int], list[Window]]:
    """Choose moments in which something moves, one from each part of some frames.

    Args:
        frames: `(N, H, W)`, in the order that is cut into parts.
        previous: The frame before each, `(N, H, W)`.
        count: Moments; fewer where there are fewer frames.

    Returns:
        The position of each moment, and the window around what moves there.
    """
    usual, background = usual_motion(frames, previous), np.median(frames, axis=0)
    pairs = zip(frames, previous, strict=True)
    found = [moving_window(frame, before, usual, background) for frame, before in pairs]
    surprise = [amount for _, amount in found]
    chosen = [_typically_moving(surprise, part) for part in _parts(len(found), count)]
    return chosen, [found[k][0] for k in chosen]


def _typically_moving(surprise: list[float], part: range) -> int:
    """Return a moment in which something moves, but not the rarest: that is a new score."""
    return sorted(part, key=lambda k: surprise[k])[len(part) * 3 // 4]


def _parts(count: int, parts: int) -> list[range]:
    """Cut `range(count)` into parts of about the same length, none of them empty."""
    bounds = [round(count * k / parts) for k in range(parts + 1)]
    return [range(a, b) for a, b in pairwise(bounds) if a < b]
