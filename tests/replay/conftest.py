"""Synthetic play: the store is tested without an emulator, with every kind of episode."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from rlmaster.replay.frame_store import FrameStore

FRAME_SHAPE = (2, 3)
STACKED_FRAMES = 4


@dataclass(frozen=True)
class SyntheticStep:
    """What the store needs of a step."""

    observation: NDArray[np.uint8]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    life_lost: NDArray[np.bool_]
    episode_start: NDArray[np.bool_]


class SyntheticGame:
    """One environment that plays episodes of given lengths, over and over."""

    def __init__(self, lengths: list[int], seed: int) -> None:
        self._lengths = lengths
        self._generator = np.random.default_rng(seed)
        self._episode = 0
        self._actions_left = -1
        self.frames: list[NDArray[np.uint8]] = []

    def next_row(self) -> dict[str, object]:
        start = self._actions_left < 0
        if start:
            self._actions_left = self._lengths[self._episode % len(self._lengths)]
            self._episode += 1
            self.frames = [np.zeros(FRAME_SHAPE, np.uint8)] * STACKED_FRAMES
        over = self._actions_left == 0 and not start
        self._actions_left -= 1
        frame = self._generator.integers(1, 256, FRAME_SHAPE, np.uint8)
        self.frames = [*self.frames[1:], frame]
        return {
            "observation": np.stack(self.frames),
            "reward": 0.0 if start else self._generator.normal(),
            "terminated": over and self._episode % 2 == 0,
            "truncated": over and self._episode % 2 == 1,
            "life_lost": not start and self._generator.random() < 0.2,
            "episode_start": start,
        }


def _synthetic_steps(lengths: list[list[int]], num_rows: int) -> list[SyntheticStep]:
    games = [SyntheticGame(own, seed) for seed, own in enumerate(lengths)]
    steps: list[SyntheticStep] = []
    for _ in range(num_rows):
        rows = [game.next_row() for game in games]
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        columns["reward"] = columns["reward"].astype(np.float32)
        steps.append(SyntheticStep(**columns))
    return steps


def _filled_store(lengths: list[list[int]], num_rows: int, end: bool = True) -> FrameStore:
    store = FrameStore(len(lengths), capacity_rows=num_rows, frame_shape=FRAME_SHAPE)
    generator = np.random.default_rng(0)
    for number, step in enumerate(_synthetic_steps(lengths, num_rows)):
        last = end and number == num_rows - 1
        store.append(step, None if last else generator.integers(6, size=len(lengths)))
    return store


@pytest.fixture(scope="session")
def synthetic_steps() -> Callable[[list[list[int]], int], list[SyntheticStep]]:
    """Make steps: for each environment the numbers of actions of its episodes, at least 1; rows."""
    return _synthetic_steps


@pytest.fixture(scope="session")
def filled_store() -> Callable[..., FrameStore]:
    """Make a store of such steps."""
    return _filled_store
