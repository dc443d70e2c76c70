"""The pictures of a run: a few chosen moments at every preview, whole episodes at the end."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from rlmaster.atari.ball import BallBoxes
from rlmaster.embedders.base import BaseEmbedder
from rlmaster.errors import TrainingError
from rlmaster.replay.batches import SequenceBatch
from rlmaster.replay.frame_store import Episode, FrameStore
from rlmaster.training.canonical import CanonicalFrames
from rlmaster.training.evaluation import Indices, draw, evenly_chosen
from rlmaster.training.pictures import (
    Drawn,
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


@dataclass(frozen=True)
class Moments:
    """Frames that are shown, and where to look closely."""

    store: FrameStore
    """Where they are."""
    indices: Indices
    """Which, `(N,)`."""
    windows: Sequence[Window]
    """What to magnify of each."""

    def drawn_by(self, embedder: BaseEmbedder) -> Drawn:
        """Return them as an embedder draws them now; its training goes on as if nobody looked."""
        batch = self.store.sequences_at(self.indices, embedder.sequence_length)
        originals, drawn = reconstruct(embedder, batch)
        return Drawn(originals, drawn, self.windows, embedder.drawing)


class Gallery:
    """Draws what an embedder makes of chosen moments, and whole episodes."""

    def __init__(self, store: FrameStore, moments: Moments, embedder: BaseEmbedder) -> None:
        """Choose nothing more.

        Args:
            store: Where the episodes are that may be filmed.
            moments: What previews show.
            embedder: Who draws.
        """
        self._store = store
        self._moments = moments
        self._embedder = embedder

    def record(self, recording: Recording, step: int) -> None:
        """Draw the chosen moments as the networks see them now; the rest is background work."""
        drawn = self._moments.drawn_by(self._embedder)
        caption = f"update {step:,}   mean squared error {drawn.error:.2g}"
        recording.preview(step, lambda: draw_preview(drawn, caption))

    def film(self, path: Path, episodes: list[Episode], on_progress: Callable[[int], None]) -> None:
        """Write a video of original beside drawing over whole episodes.

        Args:
            path: The MP4.
            episodes: Which episodes, one after the other.
            on_progress: Told how many frames are done; what it raises ends the film.

        Raises:
            TrainingError: If it cannot be made.
        """
        write_video(path, drawn_pairs(self._embedder, self._store, episodes, on_progress))


def drawn_pairs(
    embedder: BaseEmbedder,
    store: FrameStore,
    episodes: Sequence[Episode],
    on_progress: Callable[[int], None],
) -> Iterator[tuple[Frames, Frames]]:
    """Yield each frame of some episodes that can be drawn, and what is drawn of it, `(H, W)` each.

    Args:
        embedder: Who draws; it says how many frames must stand before the first that it can.
        store: Where the episodes are.
        episodes: Which, one after the other.
        on_progress: Told how many frames are done.
    """
    indices = store.frame_indices(episodes, after=embedder.least_frames - 1)
    for first in range(0, len(indices), FILM_BATCH_FRAMES):
        chosen = indices[first : first + FILM_BATCH_FRAMES]
        batch = store.sequences_at(chosen, embedder.sequence_length)
        yield from zip(*reconstruct(embedder, batch), strict=True)
        on_progress(first + len(chosen))


def reconstruct(embedder: BaseEmbedder, batch: SequenceBatch) -> tuple[Frames, Frames]:
    """Return what should come out for some frames and what does, `(B, H, W)` each."""
    preview = draw(embedder, batch)
    return to_numpy(preview.target), to_numpy(preview.reconstruction)


# --------------------------------------------------------------------------------------- choosing


def moments_of_a_run(
    store: FrameStore,
    held_out: Sequence[Episode],
    canonical: CanonicalFrames,
    embedder: BaseEmbedder,
) -> Moments:
    """Return what previews show: canonical moments with a ball, else held-out ones with motion.

    Args:
        store: The run's frames.
        held_out: Those of its episodes that are never trained on.
        canonical: The canonical frames of its game.
        embedder: Who draws.

    Raises:
        TrainingError: If no held-out episode is long enough.
    """
    balls = canonical.balls
    if balls is None or not balls.visible.any():
        return moving_moments(store, held_out, EXAMPLES, least_frames=embedder.least_frames)
    return ball_moments(canonical.store, canonical.indices, balls, EXAMPLES)


def ball_moments(store: FrameStore, indices: Indices, balls: BallBoxes, count: int) -> Moments:
    """Choose moments in which the ball is seen, one from each part of some frames.

    Args:
        store: Where the frames are.
        indices: Which, `(N,)`.
        balls: Where the ball is in each; it is seen in one at least.
        count: Moments; fewer where it is seen less often.
    """
    seen = np.flatnonzero(balls.visible)
    chosen = [seen[(part.start + part.stop) // 2] for part in _parts(len(seen), count)]
    shape = store.frame_shape
    windows = [Window.around(row, column, shape) for row, column in balls.centre[chosen].tolist()]
    return Moments(store, indices[chosen], windows)


def moving_moments(
    store: FrameStore, episodes: Sequence[Episode], count: int, *, least_frames: int = 1
) -> Moments:
    """Choose moments in which something moves, one from each part of some episodes.

    Args:
        store: Where the episodes are.
        episodes: Which.
        count: Moments; fewer where there are fewer frames.
        least_frames: Frames of the episode that must have been played, with the moment's own.

    Raises:
        TrainingError: If no episode is long enough.
    """
    # Of an episode's first frame nothing is known that could have moved.
    indices = store.frame_indices(episodes, after=max(1, least_frames - 1))
    if not len(indices):
        indices = store.frame_indices(episodes, after=least_frames - 1)
    if not len(indices):
        raise TrainingError(
            f"no episode has the {least_frames} frames in a row that the embedder looks at; "
            "choose a longer one, or collect more steps (frames.steps)"
        )
    candidates = evenly_chosen(indices, CANDIDATES)
    frames = store.stack_at(candidates, 2).cpu().numpy()
    chosen, windows = choose_moments(frames[:, 1], frames[:, 0], count)
    return Moments(store, candidates[chosen], windows)


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
