"""What a run's frames cover, written beside them once they are whole: `replay/coverage.json`.

Shapes: T rows, N environments.
"""

from collections.abc import Iterator
from dataclasses import asdict
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.coverage import coverage
from rlmaster.atari.ram import games_with_ram
from rlmaster.replay.frame_store import FrameStore

LABELLED_FRAMES = 10_000
"""Frames whose memory is looked at; to play them again takes some seconds."""

ROWS_AT_ONCE = 500


def labelled_rows(store: FrameStore) -> int:
    """Return how many rows of a store hold the frames whose memory is looked at."""
    return min(store.num_rows, -(-LABELLED_FRAMES // store.num_environments))


def describe_coverage(
    store: FrameStore, game: str, ram: NDArray[np.uint8] | None
) -> dict[str, Any]:
    """Return what frames cover, as JSON data with a `sentence` for people.

    Args:
        store: The frames.
        game: Name as ale-py spells it.
        ram: Memory of the consoles behind the first rows, `(T, N, 128)`; None if it is not known.
    """
    found = coverage(game, _rows_of_frames(store), ram)
    ram_frames = 0 if ram is None else ram.shape[0] * ram.shape[1]
    sentence = (
        f"{found.frames:,} frames cover {found.distinct_frames:,} distinct ones and "
        f"{found.cells:,} cells"
    )
    if found.ram_entropy_nats:
        nats = mean(found.ram_entropy_nats.values())
        sentence += (
            f"; the entropy of a variable of the console's memory is {nats:.2f} nats on average "
            f"of {len(found.ram_entropy_nats)}, over the first {ram_frames:,} frames"
        )
    steps = {"steps": store.num_steps, "episodes": len(store.episodes())}
    if game not in games_with_ram():
        sentence += (
            f"; what the console's memory means is not known of {game}, only of "
            f"{', '.join(games_with_ram())}"
        )
    return {**asdict(found), **steps, "ram_frames": ram_frames, "sentence": sentence}


def _rows_of_frames(store: FrameStore) -> Iterator[NDArray[np.uint8]]:
    """Give the frames of each row, `(N, H, W)`; many rows come from a GPU at once."""
    for first in range(store.first_row, store.num_rows, ROWS_AT_ONCE):
        yield from store.rows_between(first, min(first + ROWS_AT_ONCE, store.num_rows))["frames"]
