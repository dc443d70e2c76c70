"""The frame store: frames by index, as stacks and sequences, and the episodes that they belong to.

A frame's index is `row * E + environment`: it stays when the store grows or comes round, and one
step back is E less.

Shapes: E environments, B indices, K stacked or S successive frames, H and W pixels of a frame.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlmaster.replay import episodes as episode_list
from rlmaster.replay.batches import SequenceBatch
from rlmaster.replay.episodes import Episode
from rlmaster.replay.row_store import NO_ACTION, RowStore
from rlmaster.replay.row_store import ROW_ARRAYS as ROW_ARRAYS

Indices = NDArray[np.int64] | Tensor


class FrameStore(RowStore):
    """Rows, and the frames among them that training asks for."""

    # ------------------------------------------------------------------------------------- episodes

    def episodes(self) -> list[Episode]:
        """Return all episodes, unfinished ones too, by environment and then by time.

        One whose beginning a ring has forgotten is not among them.
        """
        rows = np.arange(self.first_row, self.num_rows)
        return [
            episode
            for environment in range(self.num_environments)
            for episode in self._episodes_of(environment, rows)
        ]

    def _episodes_of(self, environment: int, rows: NDArray[np.int64]) -> list[Episode]:
        slots = rows % max(1, self.capacity_rows)
        starts = rows[self.episode_start[slots, environment]].tolist()
        stops = [*starts, self.num_rows][1:]
        over = (self.terminated | self.truncated)[slots, environment]
        return [
            Episode(
                environment,
                start,
                stop,
                ended=stop - start > 1 and bool(over[stop - 2 - self.first_row]),
            )
            for start, stop in zip(starts, stops, strict=True)
        ]

    def split_episodes(self, share: float, seed: int) -> tuple[list[Episode], list[Episode]]:
        """Set whole episodes aside, at random, until they hold a share of the frames.

        Args:
            share: Wanted share of held-out frames, between 0 and 1; reached or passed.
            seed: Seed of the choice.

        Returns:
            Episodes to train on and held-out ones, at least one each, in the order of `episodes`.

        Raises:
            TrainingError: If there are fewer than two episodes.
        """
        return episode_list.split(self.episodes(), share, seed)

    def frame_indices(self, episodes: Iterable[Episode], after: int = 0) -> NDArray[np.int64]:
        """Return the index of each frame of some episodes, `(B,)`, one episode after the other.

        Args:
            episodes: Whose frames.
            after: Frames at the start of each that are left out.
        """
        rows = [
            np.arange(episode.first_row + after, episode.stop_row) * self.num_environments
            + episode.environment
            for episode in episodes
        ]
        return np.concatenate(rows) if rows else np.empty(0, np.int64)

    # ------------------------------------------------------------------------------------ gathering

    def frames_at(self, indices: Indices) -> Tensor:
        """Gather single frames, `(B, 1, H, W)` uint8 on the store's device.

        Raises:
            IndexError: If a frame is not kept.
        """
        chosen = indices.cpu().numpy() if isinstance(indices, Tensor) else np.asarray(indices)
        return self._frames_at(chosen[:, None], np.ones((len(chosen), 1), np.bool_))

    def frames_of_row(self, row: int) -> NDArray[np.uint8]:
        """Return the frame of each environment in one row, `(E, H, W)`."""
        return self.frames[row % self.capacity_rows].cpu().numpy()

    def stack_at(self, indices: NDArray[np.int64], length: int = 4) -> Tensor:
        """Gather observations: each frame below the frames before it, oldest first.

        Frames from before the episode's start are zero, as the environment gives them.

        Args:
            indices: Index of the newest frame, `(B,)`.
            length: Frames of a stack, K.

        Returns:
            Grey levels, `(B, K, H, W)` uint8 on the store's device.

        Raises:
            IndexError: If a newest frame is not kept.
        """
        return self._frames_at(*self._window(indices, length))

    def sequences_at(self, indices: NDArray[np.int64], length: int) -> SequenceBatch:
        """Gather sequences: each frame after the frames before it, and what was done at them.

        Args:
            indices: Index of the newest frame of each, `(B,)`.
            length: Frames of a sequence, S.

        Raises:
            IndexError: If a newest frame is not kept.
        """
        wanted, inside = self._window(indices, length)
        known = inside & (wanted < (self.num_rows - 1) * self.num_environments)
        rows, environments = np.divmod(np.where(known, wanted, 0), self.num_environments)
        slots = rows % self.capacity_rows

        def row_values(name: str, unknown: int, kind: torch.dtype) -> Tensor:
            values = getattr(self, name)[slots, environments]
            return self.sent(np.where(known, values, unknown), kind)

        return SequenceBatch(
            frames=self._frames_at(wanted, inside),
            actions=row_values("actions", NO_ACTION, torch.int64),
            rewards=row_values("rewards", 0, torch.float32),
            terminated=row_values("terminated", 0, torch.bool),
            truncated=row_values("truncated", 0, torch.bool),
            mask=self.sent(inside, torch.bool),
        )

    def sent(self, values: NDArray[Any], kind: torch.dtype) -> Tensor:
        """Return host values on the store's device, without a wait where the frames are there."""
        return torch.as_tensor(self.memory.send(values)).to(self.device, kind)

    def _window(
        self, indices: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the index of each frame of a window, and which are of the episode, `(B, K)`."""
        before = np.arange(length - 1, -1, -1) * self.num_environments
        wanted = indices[:, None] - before
        rows, environments = np.divmod(wanted, self.num_environments)
        starts = self.episode_start[rows % self.capacity_rows, environments]
        # A frame belongs to the window unless an episode starts at a later frame of it.
        later_starts = np.cumsum(starts[:, :0:-1], axis=1)[:, ::-1]
        inside = np.concatenate([later_starts == 0, np.ones((len(indices), 1), np.bool_)], axis=1)
        return wanted, inside & ((rows >= self.first_row) | (before == 0))

    def _frames_at(self, wanted: NDArray[np.int64], inside: NDArray[np.bool_]) -> Tensor:
        """Gather frames by index, `(B, K)`, zero where not inside, `(B, K, H, W)`."""
        first = self.first_row * self.num_environments
        chosen = wanted[inside]
        if chosen.size and not first <= chosen.min() <= chosen.max() < first + self.num_frames:
            raise IndexError(
                f"frames {first} to {first + self.num_frames - 1} are kept, not others"
            )
        rows, environments = np.divmod(wanted, self.num_environments)
        cells = 1 + environments * self.capacity_rows + rows % max(1, self.capacity_rows)
        return self.memory.gather(cells * inside)
