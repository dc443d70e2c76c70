"""Random episodes with truncations, of which every right target is known.

Each frame holds its own number, so a sampled stack says which transition it claims to be.

Shapes: E environments, K = 4 stacked frames, H and W pixels of a frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STACK = 4
DISCOUNT = 0.99
MEAN_ACTIONS = 20
NUMBER_BYTES = 4


@dataclass(frozen=True)
class Transitions:
    """One transition of each environment, as most replays are told them."""

    observation: NDArray[np.uint8]
    """`(E, K, H, W)`."""
    action: NDArray[np.int64]
    reward: NDArray[np.float32]
    next_observation: NDArray[np.uint8]
    """The real final one where an episode ends, `(E, K, H, W)`."""
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


@dataclass(frozen=True)
class Step:
    """What our replay is told: what was seen, and what it says about the action before."""

    observation: NDArray[np.uint8]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    life_lost: NDArray[np.bool_]
    episode_start: NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """A batch of any replay, `(B, ...)` each."""

    observation: NDArray[np.uint8]
    action: NDArray[np.int64]
    reward: NDArray[np.float32]
    discount: NDArray[np.float32]
    next_observation: NDArray[np.uint8]


class Stream:
    """One environment's episodes, row by row; a row is a frame and what followed it."""

    def __init__(self, first_number: int, actions: int, shape: tuple[int, int], seed: int) -> None:
        """Play so many actions, in whole episodes, the first frame having the first number."""
        generator = np.random.default_rng(seed)
        lengths = [int(generator.geometric(1 / MEAN_ACTIONS)) for _ in range(actions)]
        lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), actions)) + 1]
        rows = sum(lengths) + len(lengths)
        self.shape = shape
        self.first_number = first_number
        self.reward = generator.normal(size=rows).astype(np.float32)
        self.action = generator.integers(6, size=rows)
        self.start = np.zeros(rows, np.bool_)
        self.start[np.cumsum([0, *(length + 1 for length in lengths)])[:-1]] = True
        self.final = np.append(self.start[1:], True)
        before_final = np.append(self.final[1:], False)
        cut = generator.random(rows) < 0.5
        self.terminated = before_final & ~cut
        self.truncated = before_final & cut
        self.age = np.arange(rows) - np.maximum.accumulate(np.where(self.start, np.arange(rows), 0))

    def stack(self, row: int) -> NDArray[np.uint8]:
        """Return what is seen at a row, `(K, H, W)`."""
        stack = np.zeros((STACK, self.shape[0] * self.shape[1]), np.uint8)
        for back in range(min(STACK, int(self.age[row]) + 1)):
            number = np.array([self.first_number + row - back], "<u4")
            stack[STACK - 1 - back] = (self.first_number + row - back) % 255
            stack[STACK - 1 - back, :NUMBER_BYTES] = number.view(np.uint8)
        return stack.reshape(STACK, *self.shape)

    def _is_stack(self, stack: NDArray[np.uint8], row: int) -> bool:
        """Whether a stack is that of a row, whatever stands before the episode's start."""
        played = min(STACK, int(self.age[row]) + 1)
        return np.array_equal(stack[-played:], self.stack(row)[-played:])

    def is_right(self, row: int, newest: int, n_step: int, sample: Sample, at: int) -> bool:
        """Whether the sample has the action, stacks, return and discount of a row.

        Where the episode goes on, a return may also end at the newest row that was added. What is
        seen after a discount of 0 is of no consequence.
        """
        reward, factor, end = 0.0, 1.0, row
        while True:
            reward += factor * float(self.reward[end])
            factor *= DISCOUNT
            over = self.terminated[end] or self.truncated[end]
            end += 1
            if over or end - row == n_step or end == newest:
                break
        discount = 0.0 if self.terminated[end - 1] else factor
        return (
            int(sample.action[at]) == self.action[row]
            and self._is_stack(sample.observation[at], row)
            and (discount == 0 or self._is_stack(sample.next_observation[at], end))
            and abs(float(sample.reward[at]) - reward) < 1e-3
            and abs(float(sample.discount[at]) - discount) < 1e-3
        )


class RandomPlay:
    """Streams of several environments, in the forms in which replays are told them."""

    def __init__(
        self, num_environments: int, actions: int, shape: tuple[int, int] = (2, 4)
    ) -> None:
        """Play so many actions in each environment."""
        self.rows_apart = 3 * actions
        self.streams = [
            Stream(1 + e * self.rows_apart, actions, shape, seed=e) for e in range(num_environments)
        ]
        self._newest = [0] * num_environments

    def transitions(self, count: int) -> Iterator[Transitions]:
        """Yield transitions of all environments; each begins anew at once when one ends."""
        streams = self.streams
        acting = [np.flatnonzero(~stream.final) for stream in streams]
        for number in range(count):
            rows = [int(own[number]) for own in acting]
            self._newest = [row + 1 for row in rows]
            pairs = list(zip(streams, rows, strict=True))
            yield Transitions(
                observation=np.stack([stream.stack(row) for stream, row in pairs]),
                action=np.array([stream.action[row] for stream, row in pairs]),
                reward=np.array([stream.reward[row] for stream, row in pairs]),
                next_observation=np.stack([stream.stack(row + 1) for stream, row in pairs]),
                terminated=np.array([stream.terminated[row] for stream, row in pairs]),
                truncated=np.array([stream.truncated[row] for stream, row in pairs]),
            )

    def steps(self, count: int) -> Iterator[tuple[Step, NDArray[np.int64]]]:
        """Yield rows of all environments, and the actions chosen there."""
        for row in range(count):
            before = [(stream, row - 1) for stream in self.streams]
            known = row > 0
            step = Step(
                observation=np.stack([stream.stack(row) for stream in self.streams]),
                reward=np.array([known * stream.reward[r] for stream, r in before], np.float32),
                terminated=np.array([known and stream.terminated[r] for stream, r in before]),
                truncated=np.array([known and stream.truncated[r] for stream, r in before]),
                life_lost=np.zeros(len(before), np.bool_),
                episode_start=np.array([stream.start[row] for stream in self.streams]),
            )
            self._newest = [row] * len(self.streams)
            yield step, np.array([stream.action[row] for stream in self.streams])

    def wrong(self, sample: Sample, n_step: int) -> int:
        """Count the samples that no transition could have given."""
        wrong = 0
        for at, newest_frame in enumerate(sample.observation[:, -1]):
            number = newest_frame.reshape(-1)[:NUMBER_BYTES].copy().view("<u4")[0]
            e, row = divmod(int(number) - 1, self.rows_apart)
            valid = 0 <= e < len(self.streams) and row < self._newest[e]
            valid = valid and not self.streams[e].final[row]
            if not valid or not self.streams[e].is_right(row, self._newest[e], n_step, sample, at):
                wrong += 1
        return wrong
