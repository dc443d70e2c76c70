"""The frame store: every frame that was played, kept once, with what was done and what followed.

A row is one frame that was seen, whether it began an episode, the action taken there, and the
reward and the ending that followed. An episode of n actions takes n + 1 rows: the last holds the
final observation and no action. Each step adds one row to the stream of every environment, so a
frame's index is `row * E + environment`: it stays when the store grows; one step back is E less.

Shapes: E environments, T rows of a stream, B indices, K stacked frames, H and W pixels of a frame.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlmaster.errors import TrainingError
from rlmaster.replay.chunk_files import (
    ChunkFolder,
    OnDamage,
    OnProgress,
    Rows,
    rows_of_a_chunk,
)

NO_ACTION = -1
"""Stands in `actions` where an episode, or the recording, was over."""

ROW_ARRAYS = ("actions", "rewards", "terminated", "truncated", "life_lost", "episode_start")
"""Everything of a row but its frame, as the store and its files name it."""

Indices = NDArray[np.int64] | Tensor


class PlayedStep(Protocol):
    """What the store needs of a step of E environments; the Step of `rlmaster.atari` is one."""

    @property
    def observation(self) -> NDArray[np.uint8]:
        """Stacked frames, `(E, K, H, W)`, the newest last."""
        ...

    @property
    def reward(self) -> NDArray[np.float32]:
        """Unclipped reward of the action before, `(E,)`."""
        ...

    @property
    def terminated(self) -> NDArray[np.bool_]:
        """The game is over, `(E,)`."""
        ...

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """The episode was cut, `(E,)`."""
        ...

    @property
    def life_lost(self) -> NDArray[np.bool_]:
        """A life was lost, `(E,)`."""
        ...

    @property
    def episode_start(self) -> NDArray[np.bool_]:
        """The observation is an episode's first, `(E,)`."""
        ...


@dataclass(frozen=True)
class Episode:
    """Where one episode lies in the store."""

    environment: int
    first_row: int
    stop_row: int
    """One past its last row."""
    ended: bool
    """Whether it was played to its end; the newest of each environment may not be."""

    def __len__(self) -> int:
        return self.stop_row - self.first_row


class FrameStore:
    """Streams of E environments; frames on a device, everything smaller in numpy.

    Attributes:
        frames: Grey levels, `(T, E, H, W)` uint8.
        actions: Action taken at a frame, or `NO_ACTION`, `(T, E)` int8.
        rewards: Unclipped reward that followed, `(T, E)` float32.
        terminated: The game was over after the action, `(T, E)` bool.
        truncated: The episode was cut after the action, `(T, E)` bool.
        life_lost: A life was lost by the action, `(T, E)` bool; sampling decides what it means.
        episode_start: The frame is an episode's first, `(T, E)` bool.
        num_rows: Rows of each stream that are filled, at most `capacity_rows` (T).
    """

    def __init__(
        self,
        num_environments: int,
        *,
        capacity_rows: int = 0,
        frame_shape: tuple[int, int] = (84, 84),
        device: str | torch.device = "cpu",
    ) -> None:
        """Make an empty store.

        Args:
            num_environments: Streams.
            capacity_rows: Rows that each stream can hold; `reserve` raises it.
            frame_shape: Pixels, `(H, W)`.
            device: Where the frames live; training gathers its batches there.
        """
        self.num_environments = num_environments
        self.frame_shape = frame_shape
        self.device = torch.device(device)
        self.num_rows = 0
        shape = (0, num_environments)
        self.frames = torch.empty((*shape, *frame_shape), dtype=torch.uint8, device=self.device)
        self.actions = np.empty(shape, np.int8)
        self.rewards = np.empty(shape, np.float32)
        self.terminated = np.empty(shape, np.bool_)
        self.truncated = np.empty(shape, np.bool_)
        self.life_lost = np.empty(shape, np.bool_)
        self.episode_start = np.empty(shape, np.bool_)
        self._saved_in: ChunkFolder | None = None
        self.reserve(capacity_rows)

    @property
    def capacity_rows(self) -> int:
        """Rows that each stream can hold."""
        return len(self.actions)

    @property
    def num_frames(self) -> int:
        """Frames in all streams together."""
        return self.num_rows * self.num_environments

    @property
    def num_steps(self) -> int:
        """Agent steps in all streams together: rows with an action."""
        return int((self.actions[: self.num_rows] != NO_ACTION).sum())

    def reserve(self, capacity_rows: int) -> None:
        """Make room for so many rows in each stream; never less than there is."""
        if capacity_rows <= self.capacity_rows:
            return
        frames = self.frames.new_empty((capacity_rows, *self.frames.shape[1:]))
        frames[: self.num_rows] = self.frames[: self.num_rows]
        self.frames = frames
        for name in ROW_ARRAYS:
            old: NDArray[np.generic] = getattr(self, name)
            new = np.zeros((capacity_rows, self.num_environments), old.dtype)
            new[: self.num_rows] = old[: self.num_rows]
            setattr(self, name, new)

    # -------------------------------------------------------------------------------------- filling

    def append(self, step: PlayedStep, actions: NDArray[np.int64] | None) -> None:
        """Add one row to each stream.

        Args:
            step: What was seen, and what it says about the row before.
            actions: Action chosen for each environment, `(E,)`; None ends the recording.

        Raises:
            TrainingError: If the store is full.
        """
        row = self.num_rows
        if row == self.capacity_rows:
            raise TrainingError(
                f"the frame store is full: it has room for {self.capacity_rows:,} rows in each of "
                f"{self.num_environments} environments; give it a larger capacity"
            )
        if row > 0:
            self.rewards[row - 1] = step.reward
            self.terminated[row - 1] = step.terminated
            self.truncated[row - 1] = step.truncated
            self.life_lost[row - 1] = step.life_lost
        newest = step.observation[:, -1]
        # Gathered by numpy: torch would wake its threads, whose busy waiting halves the emulators'
        # speed.
        if self.device.type == "cpu":
            self.frames[row].numpy()[:] = newest
        else:
            self.frames[row].copy_(torch.from_numpy(np.ascontiguousarray(newest)))
        self.episode_start[row] = step.episode_start
        over = step.terminated | step.truncated
        self.actions[row] = NO_ACTION if actions is None else np.where(over, NO_ACTION, actions)
        self.num_rows += 1

    # ------------------------------------------------------------------------------------- episodes

    def episodes(self) -> list[Episode]:
        """Return all episodes, unfinished ones too, by environment and then by time."""
        return [
            episode
            for environment in range(self.num_environments)
            for episode in self._episodes_of(environment)
        ]

    def _episodes_of(self, environment: int) -> list[Episode]:
        starts = np.flatnonzero(self.episode_start[: self.num_rows, environment]).tolist()
        stops = [*starts, self.num_rows][1:]
        over = self.terminated[:, environment] | self.truncated[:, environment]
        return [
            Episode(environment, start, stop, ended=stop - start > 1 and bool(over[stop - 2]))
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
        episodes = self.episodes()
        if len(episodes) < 2:
            raise TrainingError(
                f"{len(episodes)} episode cannot be split into training and held-out ones; collect "
                "more steps (frames.steps) or play more environments (environment.num_environments)"
            )
        held_out: set[int] = set()
        frames = 0
        for chosen in np.random.default_rng(seed).permutation(len(episodes))[:-1].tolist():
            held_out.add(chosen)
            frames += len(episodes[chosen])
            if frames >= share * self.num_frames:
                break
        return (
            [episode for number, episode in enumerate(episodes) if number not in held_out],
            [episode for number, episode in enumerate(episodes) if number in held_out],
        )

    def frame_indices(self, episodes: Iterable[Episode]) -> NDArray[np.int64]:
        """Return the index of each frame of some episodes, `(B,)`, one episode after the other."""
        rows = [
            np.arange(episode.first_row, episode.stop_row) * self.num_environments
            + episode.environment
            for episode in episodes
        ]
        return np.concatenate(rows) if rows else np.empty(0, np.int64)

    # ------------------------------------------------------------------------------------ gathering

    def frames_at(self, indices: Indices) -> Tensor:
        """Gather single frames, `(B, 1, H, W)` uint8 on the store's device."""
        frames = self.frames.flatten(0, 1)
        if self.device.type == "cpu":
            # Alone, `index_select` is up to 1.5 times as fast, but 10 to 30 times slower as soon as
            # another process wants its cores: its threads then wait for each other.
            gathered = torch.from_numpy(frames.numpy().take(np.asarray(indices), axis=0))
        else:
            chosen = torch.as_tensor(indices, device=self.device)
            gathered = frames.index_select(0, chosen)
        return gathered.unsqueeze(1)

    def frames_of_row(self, row: int) -> NDArray[np.uint8]:
        """Return the frame of each environment in one row, `(E, H, W)`."""
        return self.frames[row].cpu().numpy()

    def stack_at(self, indices: NDArray[np.int64], length: int = 4) -> Tensor:
        """Gather observations: each frame below the frames before it, oldest first.

        Frames from before the episode's start are zero, as the environment gives them.

        Args:
            indices: Index of the newest frame, `(B,)`.
            length: Frames of a stack, K.

        Returns:
            Grey levels, `(B, K, H, W)` uint8 on the store's device.
        """
        before = np.arange(length - 1, -1, -1) * self.num_environments
        wanted = indices[:, None] - before  # (B, K)
        starts = self.episode_start.reshape(-1)[np.maximum(wanted, 0)]
        # A frame belongs to the stack unless an episode starts at a later frame of the stack.
        later_starts = np.cumsum(starts[:, :0:-1], axis=1)[:, ::-1]
        inside = np.concatenate([later_starts == 0, np.ones((len(indices), 1), np.bool_)], axis=1)
        frames = self.frames_at(np.where(inside, wanted, 0).reshape(-1))
        stacks = frames.view(len(indices), length, *self.frame_shape)
        if not inside.all():
            stacks[np.nonzero(~inside)] = 0
        return stacks

    # ---------------------------------------------------------------------------------------- files

    @property
    def whole_chunk_rows(self) -> int:
        """Rows of each stream that fill chunk files, and whose followings are known."""
        rows_per_chunk = rows_of_a_chunk(self.num_environments)
        return max(0, self.num_rows - 1) // rows_per_chunk * rows_per_chunk

    def save(
        self, folder: Path, on_progress: OnProgress | None = None, *, stop_row: int | None = None
    ) -> None:
        """Seal rows in chunk files; those sealed there before stay as they are.

        Another thread may go on appending meanwhile.

        Args:
            folder: The run's `replay` folder.
            on_progress: Called with the rows written and the rows to write.
            stop_row: One past the last row to seal. By default all complete rows: the newest of
                each stream is left out while what followed it is not known.

        Raises:
            RunFolderError: If it cannot be written.
        """
        if stop_row is None:
            newest = self.actions[self.num_rows - 1 : self.num_rows]
            stop_row = self.num_rows - int(bool((newest != NO_ACTION).any()))
        if self._saved_in is None or self._saved_in.path != folder:
            self._saved_in = ChunkFolder.create(folder, self.num_environments, self.frame_shape)
        self._saved_in.add(self._rows_between, stop_row, on_progress)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        device: str | torch.device = "cpu",
        capacity_rows: int = 0,
        on_progress: OnProgress | None = None,
        on_damage: OnDamage | None = None,
    ) -> Self:
        """Read what `save` wrote.

        Args:
            folder: The run's `replay` folder.
            device: Where the frames shall live.
            capacity_rows: Rows of each stream to make room for, where more will follow.
            on_progress: Called with the rows read and the rows to read.
            on_damage: Called with the first chunk that is missing or damaged; the store then ends
                before it, and `save` goes on from there. By default that is an error.

        Raises:
            RunFolderError: If there is no replay, or a chunk is missing or damaged.
        """
        saved = ChunkFolder.open(folder)
        store = cls(
            saved.num_environments,
            capacity_rows=max(capacity_rows, saved.num_rows),
            frame_shape=saved.frame_shape,
            device=device,
        )
        saved.read(store._keep_rows, on_progress, on_damage)
        store.num_rows = saved.num_rows
        store._saved_in = saved
        return store

    def _rows_between(self, first_row: int, stop_row: int) -> Rows:
        frames = self.frames[first_row:stop_row].cpu().numpy()
        return {"frames": frames} | {
            name: getattr(self, name)[first_row:stop_row] for name in ROW_ARRAYS
        }

    def _keep_rows(self, first_row: int, rows: Rows) -> None:
        frames = torch.from_numpy(rows["frames"])
        self.frames[first_row : first_row + len(frames)].copy_(frames)
        for name in ROW_ARRAYS:
            getattr(self, name)[first_row : first_row + len(frames)] = rows[name]
