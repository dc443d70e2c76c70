"""The rows of a store: frames, what was done at them and what followed, in memory and in files.

A row is one frame that was seen, whether it began an episode, the action taken there, and the
reward and the ending that followed. An episode of n actions takes n + 1 rows: the last holds the
final observation and no action. Each step adds one row to the stream of every environment. A ring
keeps the newest T rows; row r lies in slot r % T, and rows keep their numbers.

Shapes: E environments, T rows of a stream, H and W pixels of a frame.
"""

from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from rlmaster.errors import TrainingError
from rlmaster.replay.cell_memory import CellMemory
from rlmaster.replay.chunk_content import Rows
from rlmaster.replay.chunk_files import ChunkFolder, OnDamage, OnProgress, rows_of_a_chunk
from rlmaster.replay.frame_storage import free_room
from rlmaster.replay.played_step import PlayedStep
from rlmaster.room import Storage, choose_storage

NO_ACTION = -1
"""Stands in `actions` where an episode, or the recording, was over."""

ROW_ARRAYS = ("actions", "rewards", "terminated", "truncated", "life_lost", "episode_start")
"""Everything of a row but its frame, as the store and its files name it."""


class RowStore:
    """Streams of E environments; frames where there is room, everything smaller in numpy.

    Attributes:
        frames: Grey levels by slot, `(T, E, H, W)` uint8.
        actions: Action taken at a frame, or `NO_ACTION`, `(T, E)` int8.
        rewards: Unclipped reward that followed, `(T, E)` float32.
        terminated: The game was over after the action, `(T, E)` bool.
        truncated: The episode was cut after the action, `(T, E)` bool.
        life_lost: A life was lost by the action, `(T, E)` bool; sampling decides what it means.
        episode_start: The frame is an episode's first, `(T, E)` bool.
        num_rows: Rows that each stream was given; a ring keeps the newest T of them.
        memory: Where the frames lie; a frame's cell there is `1 + environment * T + slot`.
    """

    def __init__(
        self,
        num_environments: int,
        *,
        capacity_rows: int = 0,
        frame_shape: tuple[int, int] = (84, 84),
        device: str | torch.device = "cpu",
        ring: bool = False,
        storage: Storage = "device",
        disk_folder: Path | None = None,
        bytes_beside_frame: int = 0,
    ) -> None:
        """Make an empty store.

        Args:
            num_environments: Streams.
            capacity_rows: Rows that each stream can hold; `reserve` raises it.
            frame_shape: Pixels, `(H, W)`.
            device: Where training gathers its batches.
            ring: Whether a full store forgets its oldest row for a new one.
            storage: Where the frames live; `auto` takes the fastest place with room.
            disk_folder: Where a file for them may be, which nobody sees; none for never on disk.
            bytes_beside_frame: What else will be kept of each frame there, and needs room.

        Raises:
            TrainingError: If there is not enough room.
        """
        self.num_environments = num_environments
        self.frame_shape = frame_shape
        self.device = torch.device(device)
        self.ring = ring
        self.num_rows = 0
        self._storage: Storage = storage
        self._disk_folder = disk_folder
        self._bytes_beside_frame = bytes_beside_frame
        shape = (0, num_environments)
        self.actions = np.empty(shape, np.int8)
        self.rewards = np.empty(shape, np.float32)
        self.terminated = np.empty(shape, np.bool_)
        self.truncated = np.empty(shape, np.bool_)
        self.life_lost = np.empty(shape, np.bool_)
        self.episode_start = np.empty(shape, np.bool_)
        self._saved_in: ChunkFolder | None = None
        self.memory = self._make_memory(0)
        self.frames = self.memory.streams(num_environments)
        self.reserve(capacity_rows)

    @property
    def capacity_rows(self) -> int:
        """Rows that each stream can hold."""
        return len(self.actions)

    @property
    def first_row(self) -> int:
        """The oldest row that is kept."""
        return max(0, self.num_rows - self.capacity_rows)

    @property
    def num_frames(self) -> int:
        """Frames that are kept in all streams together."""
        return (self.num_rows - self.first_row) * self.num_environments

    @property
    def num_steps(self) -> int:
        """Agent steps that are kept in all streams together: rows with an action."""
        return int((self.actions[: self.num_rows] != NO_ACTION).sum())

    def reserve(self, capacity_rows: int) -> None:
        """Make room for so many rows in each stream; never less than there is.

        Raises:
            TrainingError: If there is not enough room.
        """
        if capacity_rows <= self.capacity_rows:
            return
        assert self.first_row == 0, "rows of a ring that has come round would change their slots"
        self.memory = self._make_memory(capacity_rows)
        frames = self.memory.streams(self.num_environments)
        frames[: self.num_rows] = self.frames[: self.num_rows]
        self.frames = frames
        for name in ROW_ARRAYS:
            old: NDArray[np.generic] = getattr(self, name)
            new = np.zeros((capacity_rows, self.num_environments), old.dtype)
            new[: self.num_rows] = old[: self.num_rows]
            setattr(self, name, new)

    def _make_memory(self, capacity_rows: int) -> CellMemory:
        num_cells = 1 + capacity_rows * self.num_environments
        place = "device"
        if self._storage != "device" and capacity_rows > 0:
            frame_bytes = self.frame_shape[0] * self.frame_shape[1]
            needed = num_cells * (frame_bytes + self._bytes_beside_frame)
            free = free_room(self.device, self._disk_folder)
            place = choose_storage(self._storage, needed, free)
        return CellMemory(num_cells, self.frame_shape, self.device, place, self._disk_folder)

    # -------------------------------------------------------------------------------------- filling

    def append(self, step: PlayedStep, actions: NDArray[np.int64] | None) -> None:
        """Add one row to each stream.

        Args:
            step: What was seen, and what it says about the row before.
            actions: Action chosen for each environment, `(E,)`; None ends the recording.

        Raises:
            TrainingError: If the store is full and not a ring.
        """
        row = self.num_rows
        if row >= self.capacity_rows and not self.ring:
            raise TrainingError(
                f"the frame store is full: it has room for {self.capacity_rows:,} rows in each of "
                f"{self.num_environments} environments; give it a larger capacity"
            )
        if row > 0:
            before = (row - 1) % self.capacity_rows
            self.rewards[before] = step.reward
            self.terminated[before] = step.terminated
            self.truncated[before] = step.truncated
            self.life_lost[before] = step.life_lost
        slot = row % self.capacity_rows
        newest = step.observation[:, -1]
        # By numpy: torch would wake its threads, whose busy waiting halves the emulators' speed.
        if self.memory.on_host:
            self.frames[slot].numpy()[:] = newest
        else:
            self.frames[slot].copy_(self.memory.send(newest))
        self.episode_start[slot] = step.episode_start
        over = step.terminated | step.truncated
        self.actions[slot] = NO_ACTION if actions is None else np.where(over, NO_ACTION, actions)
        self.num_rows += 1

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

        Another thread may go on appending meanwhile, unless it comes round in a ring.

        Args:
            folder: The run's `replay` folder.
            on_progress: Called with the rows written and the rows to write.
            stop_row: One past the last row to seal. By default all complete rows: the newest of
                each stream is left out while what followed it is not known.

        Raises:
            RunFolderError: If it cannot be written.
        """
        if stop_row is None:
            newest = self.actions[self._slots(max(0, self.num_rows - 1), self.num_rows)]
            stop_row = self.num_rows - int(bool((newest != NO_ACTION).any()))
        if self._saved_in is None or self._saved_in.path != folder:
            self._saved_in = ChunkFolder.create(folder, self.num_environments, self.frame_shape)
        self._saved_in.add(self.rows_between, stop_row, on_progress, oldest_row=self.first_row)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        device: str | torch.device = "cpu",
        capacity_rows: int = 0,
        storage: Storage = "device",
        disk_folder: Path | None = None,
        on_progress: OnProgress | None = None,
        on_damage: OnDamage | None = None,
    ) -> Self:
        """Read what `save` wrote; of a ring's files, the rows that are still there.

        Args:
            folder: The run's `replay` folder.
            device: Where training gathers its batches.
            capacity_rows: Rows of each stream to make room for, where more will follow.
            storage: Where the frames live; `auto` takes the fastest place with room.
            disk_folder: Where a file for them may be; none for never on disk.
            on_progress: Called with the rows read and the rows to read.
            on_damage: Called with the first chunk that is missing or damaged; the store then ends
                before it, and `save` goes on from there. By default that is an error.

        Raises:
            RunFolderError: If there is no replay, or a chunk is missing or damaged.
        """
        saved = ChunkFolder.open(folder)
        came_round = saved.first_row > 0
        store = cls(
            saved.num_environments,
            capacity_rows=saved.num_rows if came_round else max(capacity_rows, saved.num_rows),
            frame_shape=saved.frame_shape,
            device=device,
            ring=came_round,
            storage=storage,
            disk_folder=disk_folder,
        )
        saved.read(store.keep_rows, on_progress, on_damage)
        store.num_rows = saved.stop_row
        store._saved_in = saved
        return store

    def restore(
        self, folder: Path, first_row: int, stop_row: int, on_progress: OnProgress | None = None
    ) -> None:
        """Fill an empty store with sealed rows, and forget what was sealed after them.

        Args:
            folder: The run's `replay` folder.
            first_row: The first row to keep.
            stop_row: One past the last.
            on_progress: Called with the rows read and the rows to read.

        Raises:
            RunFolderError: If a row is missing, or a chunk is damaged.
        """
        saved = ChunkFolder.open(folder)
        saved.cut_back(stop_row)

        def keep(chunk_row: int, rows: Rows) -> None:
            skipped = max(0, first_row - chunk_row)
            kept = {name: values[skipped:] for name, values in rows.items()}
            self.keep_rows(chunk_row + skipped, kept)

        saved.covering(first_row, stop_row).read(keep, on_progress)
        self.num_rows, self._saved_in = stop_row, saved

    def keep_newest(self, rows: Rows) -> None:
        """Add rows that `rows_between` returned."""
        self.keep_rows(self.num_rows, rows)
        self.num_rows += len(rows["actions"])

    def expire(self, oldest_row: int) -> None:
        """Delete sealed chunks that hold only rows before one, once no checkpoint needs them.

        Raises:
            RunFolderError: If the manifest cannot be written.
        """
        if self._saved_in is not None:
            self._saved_in.expire(oldest_row)

    def _slots(self, first_row: int, stop_row: int) -> NDArray[np.int64]:
        return np.arange(first_row, stop_row) % max(1, self.capacity_rows)

    def rows_between(self, first_row: int, stop_row: int) -> Rows:
        """Return a copy of some rows as their files hold them, `(rows, E, ...)` each."""
        slots = self._slots(first_row, stop_row)
        frames = self.frames[torch.from_numpy(slots).to(self.frames.device)].cpu().numpy()
        return {"frames": frames} | {name: getattr(self, name)[slots] for name in ROW_ARRAYS}

    def keep_rows(self, first_row: int, rows: Rows) -> None:
        """Put rows where they belong, without counting them."""
        slots = self._slots(first_row, first_row + len(rows["actions"]))
        frames = torch.from_numpy(rows["frames"]).to(self.frames.device)
        self.frames[torch.from_numpy(slots).to(frames.device)] = frames
        for name in ROW_ARRAYS:
            getattr(self, name)[slots] = rows[name]
