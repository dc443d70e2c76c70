"""What sampling needs to know of each row, on the device where frames are gathered.

Everything is numbered by cell, as the frames are; cell 0 stands for what was never played. On the
host the columns are numpy arrays, whose small calls cost a third of torch's; on a GPU they are
tensors. The code is the same for both: it uses what both have under one name, and reads no value
back.

Shapes: B batch, E environments, T rows of a stream, n steps, C = 1 + E * T cells.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlmaster.replay.cell_memory import Array
from rlmaster.replay.row_store import NO_ACTION, RowStore


@dataclass(frozen=True)
class Outcome:
    """What came of n steps, `(B,)` each."""

    reward: Array
    """Discounted sum of the rewards."""
    discount: Array
    """discount ** steps taken, or 0."""
    steps: Array | int
    """Steps taken, at most n."""


class TransitionTable:
    """Columns over the cells of a store, and the queue of the transitions in it.

    Attributes:
        index: `row * E + environment`, or -1.
        actions: Action taken, or -1.
        rewards: Unclipped reward that followed.
        terminated: The game was over after the action.
        truncated: The episode was cut after the action.
        frames_before: Frames of the same episode before this one.
    """

    def __init__(self, store: RowStore, *, life_loss_is_terminal: bool) -> None:
        """Make a table without rows.

        Args:
            store: Whose rows are added, one after the other.
            life_loss_is_terminal: Whether nothing is to be gained after a lost life.
        """
        self._store = store
        self._life_loss_is_terminal = life_loss_is_terminal
        self._capacity = store.capacity_rows
        cells = 1 + store.num_environments * self._capacity
        self.index = self._column(cells, np.int64, -1)
        self.actions = self._column(cells, np.int64, NO_ACTION)
        self.rewards = self._column(cells, np.float32)
        self.terminated = self._column(cells, np.bool_)
        self.truncated = self._column(cells, np.bool_)
        self.frames_before = self._column(cells, np.int64)
        self._goes_on = self._column(cells, np.float32)
        """0 where nothing is to be gained after the action, else 1."""
        self._stops = self._column(cells, np.bool_)
        """No n-step return goes on after this step."""
        self._queue = self._column(cells - 1, np.int64)
        """Cells of transitions, in the order of their rows; number i is at i % length."""
        self._queued_before = np.zeros(self._capacity, np.int64)
        """Transitions before a row, by slot; on the host, which decides what can be sampled."""
        self.num_queued = 0
        self._has_rows = False
        self._stream_starts = 1 + np.arange(store.num_environments) * self._capacity
        self._frames_before_newest = np.full(store.num_environments, -1)

    @property
    def num_bytes(self) -> int:
        """Memory that the table takes."""
        arrays = [value for value in vars(self).values() if hasattr(value, "nbytes")]
        return sum(array.nbytes for array in arrays)

    def _column(self, length: int, kind: type[np.generic], fill: int = 0) -> Array:
        return self.native(np.full(length, fill, kind))

    def native(self, values: NDArray[Any]) -> Array:
        """Return host values as the columns are: unchanged, or on their device."""
        return self._store.memory.send(values)

    def arange(self, start: int, stop: int, distance: int = 1) -> Array:
        """Return numbers at a distance from each other as the columns are."""
        if self._store.memory.on_host:
            return np.arange(start, stop, distance)
        return torch.arange(start, stop, distance, device=self._store.device)

    # -------------------------------------------------------------------------------------- filling

    def add_row(self, row: int) -> NDArray[np.int64]:
        """Add the row that the store was given, and what it says about the row before.

        Args:
            row: Its number, one more than that of the last call.

        Returns:
            Cells of the transitions that it completes, at most `(E,)`.
        """
        store, slot = self._store, row % self._capacity
        self._frames_before_newest = self.foresee(row, store.episode_start[slot])
        environments = np.arange(store.num_environments)
        self._set("index", slot, row * store.num_environments + environments)
        self._set("actions", slot, store.actions[slot])
        self._has_rows, completes = True, self._has_rows
        return self._complete((row - 1) % self._capacity) if completes else environments[:0]

    def foresee(self, row: int, episode_start: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Say which frames come before a row, so that windows may end there.

        Args:
            row: The next to be added.
            episode_start: Whether an episode begins there, `(E,)`.

        Returns:
            Frames of the same episode before it, `(E,)`.
        """
        before = np.where(episode_start, 0, self._frames_before_newest + 1)
        self._set("frames_before", row % self._capacity, before)
        return before

    def _complete(self, slot: int) -> NDArray[np.int64]:
        """Note what followed a row, and queue the transitions that begin there."""
        store = self._store
        for name in ("rewards", "terminated", "truncated"):
            self._set(name, slot, getattr(store, name)[slot])
        self._set("_goes_on", slot, 1 - self._terminal(slot).astype(np.float32))
        # Nothing is known beyond the newest row, so returns end there as at a truncation.
        self._set("_stops", slot, np.ones(store.num_environments, np.bool_))
        previous = (slot - 1) % self._capacity
        self._set("_stops", previous, self._terminal(previous) | store.truncated[previous])
        cells = self._stream_starts[store.actions[slot] != NO_ACTION] + slot
        self._queued_before[slot] = self.num_queued
        numbers = self.num_queued + np.arange(len(cells))
        self._queue[self.native(numbers % len(self._queue))] = self.native(cells)
        self.num_queued += len(cells)
        return cells

    def _terminal(self, slot: int) -> NDArray[np.bool_]:
        over = self._store.terminated[slot]
        return over | self._store.life_lost[slot] if self._life_loss_is_terminal else over

    def _set(self, name: str, slot: int, values: NDArray[Any]) -> None:
        column = getattr(self, name)[1:].reshape(self._store.num_environments, self._capacity)
        column[:, slot] = self.native(values)

    # ------------------------------------------------------------------------------------- sampling

    def queued_from(self, row: int) -> int:
        """Return how many transitions begin at a row or later."""
        newest = self._store.num_rows - 1
        return 0 if row >= newest else self.num_queued - self._queued_at(row)

    def cells_of_row(self, row: int) -> NDArray[np.int64]:
        """Return the cell of each environment in a row, `(E,)`."""
        return self._stream_starts + row % self._capacity

    def _queued_at(self, row: int) -> int:
        return int(self._queued_before[row % self._capacity])

    def newest_queued(self, numbers: Array) -> Array:
        """Return cells of transitions, counted back from the newest, which is 0, `(B,)`."""
        return self._queue.take((self.num_queued - 1 - numbers) % len(self._queue))

    def cells_of(self, index: Array) -> Array:
        """Return the cell of each index, `(B,)`, whether it is still that frame's or not."""
        rows = index // self._store.num_environments
        environments = index % self._store.num_environments
        return 1 + environments * self._capacity + rows % self._capacity

    def moved(self, cells: Array, rows: Array | int) -> Array:
        """Return the cells some rows on in the same streams; shapes are broadcast."""
        slots = (cells - 1) % self._capacity
        return cells - slots + (slots + rows) % self._capacity

    def window(self, cells: Array, first: int, stop: int, distance: int = 1) -> tuple[Array, Array]:
        """Return the cells around some, 0 before the start of their episode.

        Args:
            cells: Cells in the middle, `(B,)`.
            first: Rows from there to the first of the window, at most 0.
            stop: Rows to one past its last, which is of the same episode.
            distance: Rows from each to the next.

        Returns:
            Cells, and which of them are of the episode, `(B, (stop - first) / distance)` each.
        """
        rows = self.arange(first, stop, distance)
        inside = rows >= -self.frames_before.take(cells)[:, None]
        return self.moved(cells[:, None], rows) * inside, inside

    def outcome(self, cells: Array, n_step: int, discount: float, clip_rewards: bool) -> Outcome:
        """Follow transitions for n steps, or until one after which no return goes on.

        Args:
            cells: Where they begin, `(B,)`.
            n_step: Most steps, n.
            discount: Discount of one step.
            clip_rewards: Whether each reward is clipped to [-1, 1].
        """
        if n_step == 1:
            reward = self._rewards_at(cells, clip_rewards)
            return Outcome(reward, self._goes_on.take(cells) * discount, 1)
        path = self.moved(cells[:, None], self.arange(0, n_step))  # (B, n)
        stops = self._stops.take(path)
        taken = stops.cumsum(1) <= stops  # so that the first one that stops is taken, too
        powers = discount ** self.arange(0, n_step)
        reward = (self._rewards_at(path, clip_rewards) * powers * taken).sum(1)
        steps = taken.sum(1)
        # Only the last step that is taken may end the game.
        goes_on = 1 - ((1 - self._goes_on.take(path)) * taken).sum(1)
        return Outcome(reward, discount**steps * goes_on, steps)

    def _rewards_at(self, cells: Array, clip: bool) -> Array:
        rewards = self.rewards.take(cells)
        return rewards.clip(-1, 1) if clip else rewards
