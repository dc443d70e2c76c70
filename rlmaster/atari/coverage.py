"""What a collection of frames covers, in numbers that can be compared between frame sources.

Shapes: T steps, N environments, H and W pixels of a frame.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.cells import Cell, cells_of
from rlmaster.atari.ram import games_with_ram, ram_variables


@dataclass(frozen=True)
class Coverage:
    """How much of a game some frames show; `dataclasses.asdict` of it is JSON data."""

    frames: int
    """Frames in all."""
    distinct_frames: int
    """Frames of which no two are the same."""
    cells: int
    """Coarse frames, 8×11 pixels of 8 grey levels, of which no two are the same."""
    ram_entropy_nats: Mapping[str, float]
    """Entropy of each variable of the game's memory, in nats; empty where memory is not known."""


def coverage(
    game: str, frames_of_rows: Iterable[NDArray[np.uint8]], ram: NDArray[np.uint8] | None = None
) -> Coverage:
    """Look at a collection once.

    Args:
        game: Name as ale-py spells it.
        frames_of_rows: Frames of one step after another, `(N, H, W)` each.
        ram: Memory of the consoles behind them, `(T, N, 128)`, if it is known.
    """
    count = 0
    distinct: set[bytes] = set()
    cells: set[Cell] = set()
    for frames in frames_of_rows:
        count += len(frames)
        for frame in frames:
            distinct.add(hashlib.blake2b(frame.tobytes(), digest_size=16).digest())
        cells.update(cells_of(frames))
    entropies: dict[str, float] = {}
    if ram is not None and game in games_with_ram():
        entropies = ram_entropies(game, ram)
    return Coverage(count, len(distinct), len(cells), entropies)


def ram_entropies(game: str, ram: NDArray[np.uint8]) -> dict[str, float]:
    """Return the entropy of each variable, in nats, 0 to ln 256.

    Args:
        game: Name as ale-py spells it.
        ram: Memory of the consoles, `(..., 128)`, at least one.

    Raises:
        UsageError: If nobody has annotated the game.
    """
    return {name: _entropy(ram[..., byte]) for name, byte in ram_variables(game).items()}


def _entropy(values: NDArray[np.uint8]) -> float:
    counts = np.bincount(values.ravel(), minlength=256)
    shares = counts[counts > 0] / values.size
    return float(-np.sum(shares * np.log(shares))) + 0.0  # not minus zero
