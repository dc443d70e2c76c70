"""The replay: transitions and sequences, drawn from the rows that are kept.

A row is offered as soon as what followed it is known, and as long as its whole stack or sequence is
kept. In a ring that has come round, the oldest rows therefore only serve the stacks of later ones.

Shapes: B batch, E environments, K stacked frames, S frames of a sequence, C cells of the store.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlmaster.errors import TrainingError
from rlmaster.replay.batches import SequenceBatch, TransitionBatch
from rlmaster.replay.cell_memory import Array
from rlmaster.replay.chunk_files import OnProgress
from rlmaster.replay.frame_store import FrameStore
from rlmaster.replay.latent_memory import LatentMemory
from rlmaster.replay.played_step import PlayedStep
from rlmaster.replay.prioritised import Priorities, PrioritisedDraw
from rlmaster.replay.transition_table import TransitionTable


class Sampling:
    """Draws batches from a store that it fills.

    Attributes:
        store: Where the rows are.
        latents: Of the frames in the store, where these are handed out instead.
        importance_exponent: beta, which may be raised as training goes on.
    """

    def __init__(
        self,
        store: FrameStore,
        *,
        stacked_frames: int = 4,
        clip_rewards: bool,
        life_loss_is_terminal: bool,
        seed: int,
        priorities: Priorities | None = None,
        latents: LatentMemory | None = None,
    ) -> None:
        """Make an empty replay.

        Args:
            store: An empty store, often a ring; filled through this replay only.
            stacked_frames: Frames of an observation, K.
            clip_rewards: Whether each step's reward is clipped to [-1, 1].
            life_loss_is_terminal: Whether nothing is to be gained after a lost life.
            seed: Seed of what is drawn.
            priorities: How some are drawn more often; by default none is.
            latents: Kept beside this store's frames and sampled in their place, if any.

        Raises:
            TrainingError: If the store cannot hold a single transition.
        """
        assert latents is None or latents.frames_needed <= stacked_frames
        if store.capacity_rows < stacked_frames + 2:
            raise TrainingError(
                f"a replay of {store.capacity_rows} rows cannot offer a stack of {stacked_frames} "
                f"frames and the next; give it at least {stacked_frames + 2} rows"
            )
        self.store = store
        self.latents = latents
        self._stacked_frames = stacked_frames
        self._clip_rewards = clip_rewards
        self._table = TransitionTable(store, life_loss_is_terminal=life_loss_is_terminal)
        device = torch.device("cpu") if store.memory.on_host else store.device
        self._generator = torch.Generator(device).manual_seed(seed)
        self._prioritised = (
            None
            if priorities is None
            else PrioritisedDraw(priorities, len(store.memory.cells), device)
        )
        self.importance_exponent = 0.0 if priorities is None else priorities.importance_exponent

    @property
    def num_transitions(self) -> int:
        """Transitions that can be sampled."""
        return self._table.queued_from(self._oldest_row(self._stacked_frames))

    @property
    def num_bytes(self) -> int:
        """Memory that frames, latents, rows and everything else take."""
        arrays = [value for value in vars(self.store).values() if isinstance(value, np.ndarray)]
        rows = sum(array.nbytes for array in arrays)
        frames = self.store.memory.cells.nbytes
        tree = 0 if self._prioritised is None else self._prioritised.tree.num_bytes
        latents = 0 if self.latents is None else self.latents.num_bytes
        return frames + latents + rows + self._table.num_bytes + tree

    def observe(self, step: PlayedStep) -> Tensor:
        """Return what is to be acted upon: observations `(E, K, H, W)`, or their latents.

        Args:
            step: What was seen. Latents of it are kept at once where the oldest ones lie, so that
                it is appended next, before anything is sampled again.
        """
        if self.latents is None:
            return self.store.sent(step.observation, torch.uint8)
        self._keep_latents(self.latents, step)
        cells = self._table.cells_of_row(self.store.num_rows)
        return self._seen_at(self._table.native(cells))

    def append(self, step: PlayedStep, actions: NDArray[np.int64] | None) -> None:
        """Add what was seen, and the actions chosen there.

        Args:
            step: What was seen, and what it says about the actions before.
            actions: Action chosen for each environment, `(E,)`; None ends the recording.

        Raises:
            TrainingError: If the store is full and not a ring.
        """
        if self.latents is not None:
            self._keep_latents(self.latents, step)
        oldest_before = self._oldest_row(self._stacked_frames)
        self.store.append(step, actions)
        new = self._table.add_row(self.store.num_rows - 1)
        if self._prioritised is not None:
            rows = range(oldest_before, self._oldest_row(self._stacked_frames))
            gone = [self._table.cells_of_row(row) for row in rows]
            self._prioritised.offer(
                self._as_tensor(new), self._as_tensor(np.concatenate([new[:0], *gone]))
            )

    def update_priorities(self, index: Tensor, priority: Tensor) -> None:
        """Say how much there is still to learn; of no effect where all are drawn equally often.

        Args:
            index: Of a batch's transitions, `(B,)`; those that are overwritten by now are ignored.
            priority: Absolute TD error or the like, at least 0, `(B,)`.
        """
        if self._prioritised is None:
            return
        index = index.to(self._generator.device)
        cells = torch.as_tensor(self._table.cells_of(index))
        current = torch.as_tensor(self._table.index)[cells] == index
        self._prioritised.update(cells, priority.detach().to(self._generator.device), current)

    def embed_again(self, on_progress: OnProgress | None = None) -> None:
        """Make all latents anew, each from frames in the same batch as when it was played.

        This is due after `restore`, and after what the encoder makes of frames has changed.

        Args:
            on_progress: Called with the rows done and the rows to do.
        """
        if self.latents is None:
            return
        store, size = self.store, self.latents.frames_of_view
        self.latents.begin()
        for row in range(store.first_row, store.num_rows):
            cells = self._table.native(self._table.cells_of_row(row))
            self.latents.keep(row, store.memory.gather(self._table.window(cells, 1 - size, 1)[0]))
            if on_progress is not None:
                on_progress(row + 1 - store.first_row, store.num_rows - store.first_row)

    def _keep_latents(self, latents: LatentMemory, step: PlayedStep) -> None:
        """Keep the latents of a step that is appended next, unless they are kept already."""
        row = self.store.num_rows
        if latents.num_rows > row:
            return
        self._table.foresee(row, step.episode_start)
        views = np.ascontiguousarray(step.observation[:, -latents.frames_of_view :])
        latents.keep(row, self.store.sent(views, torch.uint8))

    def _oldest_row(self, length: int) -> int:
        """Return the oldest row whose window of frames is kept."""
        first_row = self.store.first_row
        return first_row + length - 1 if first_row > 0 else 0

    def _as_tensor(self, values: NDArray[np.int64]) -> Tensor:
        return torch.as_tensor(self._table.native(values))

    # ------------------------------------------------------------------------------------- sampling

    def sample(self, batch_size: int, n_step: int = 1, discount: float = 0.99) -> TransitionBatch:
        """Draw transitions, with replacement.

        Returns over several steps end early at the end of an episode, at a lost life that counts as
        terminal, and at the newest row. Where the episode was cut, or no more is known, they
        bootstrap there from what was really seen, with the discount of the steps taken.

        Args:
            batch_size: Transitions, B.
            n_step: Most steps of a return.
            discount: Discount of one step, gamma.

        Raises:
            TrainingError: If the replay does not hold as many transitions or steps yet.
        """
        cells, weight = self._draw(batch_size, self._require(batch_size, n_step))
        table = self._table
        outcome = table.outcome(cells, n_step, discount, self._clip_rewards)
        if n_step == 1 and self.latents is None:
            # Both observations are views of one window of K + 1 frames: three eighths less to copy.
            window = table.window(cells, 1 - self._stacked_frames, 2)[0]
            frames = self.store.memory.gather(window)
            observation, next_observation = frames[:, :-1], frames[:, 1:]
        else:
            observation = self._seen_at(cells)
            next_observation = self._seen_at(table.moved(cells, outcome.steps))
        return TransitionBatch(
            observation=observation,
            action=self._hand_out(table.actions.take(cells), torch.int64),
            reward=self._hand_out(outcome.reward, torch.float32),
            discount=self._hand_out(outcome.discount, torch.float32),
            next_observation=next_observation,
            importance_weight=self._hand_out(weight, torch.float32),
            index=self._hand_out(table.index.take(cells), torch.int64),
        )

    def sample_sequences(self, batch_size: int, length: int) -> SequenceBatch:
        """Draw sequences by their newest frame, uniformly among all frames, final ones too.

        Args:
            batch_size: Sequences, B.
            length: Frames of a sequence, S.

        Raises:
            TrainingError: If the replay does not hold as many yet.
        """
        table, store = self._table, self.store
        first = self._oldest_row(length) * store.num_environments
        stop = store.num_rows * store.num_environments
        if stop - first < batch_size:
            raise TrainingError(
                f"a batch of {batch_size} sequences of {length} frames needs "
                f"{batch_size - max(0, stop - first):,} more frames than the replay offers; "
                "collect more first, or ask for smaller batches or shorter sequences"
            )
        newest = table.cells_of(self._draw_between(first, stop, batch_size))
        cells, inside = table.window(newest, 1 - length, 1)
        # What the newest row led to is not known yet.
        known = cells * (table.index.take(cells) < stop - store.num_environments)
        return SequenceBatch(
            frames=store.memory.gather(cells),
            actions=self._hand_out(table.actions.take(known), torch.int64),
            rewards=self._hand_out(table.rewards.take(known), torch.float32),
            terminated=self._hand_out(table.terminated.take(known), torch.bool),
            truncated=self._hand_out(table.truncated.take(known), torch.bool),
            mask=self._hand_out(inside, torch.bool),
        )

    def _seen_at(self, cells: Array) -> Tensor:
        """Return what was seen where `(B,)` cells lie: `(B, K, H, W)`, or latents `(B, V * L)`."""
        if self.latents is None:
            window = self._table.window(cells, 1 - self._stacked_frames, 1)[0]
            return self.store.memory.gather(window)
        assert self.latents.num_rows >= self.store.num_rows, "embed_again is due after restore"
        distance, views = self.latents.frames_of_view, self.latents.num_views
        window = self._table.window(cells, (1 - views) * distance, 1, distance)[0]
        return self.latents.gather(window)

    def _require(self, batch_size: int, n_step: int) -> int:
        """Return the transitions that are offered, if they are enough."""
        offered = self.num_transitions
        if offered < batch_size:
            raise TrainingError(
                f"the replay offers {offered:,} transitions and a batch needs {batch_size:,}; "
                f"collect {batch_size - offered:,} more first"
            )
        rows = self.store.num_rows - 1 - self._oldest_row(self._stacked_frames)
        if n_step > rows:
            raise TrainingError(
                f"returns over {n_step} steps need as many steps of each environment, and the "
                f"replay offers {rows}; collect {n_step - rows} more first, make the replay "
                "larger, or lower n_step"
            )
        return offered

    def _draw(self, batch_size: int, offered: int) -> tuple[Array, Array]:
        """Return cells of transitions and their importance weights, `(B,)` each."""
        if self._prioritised is None:
            numbers = self._draw_between(0, offered, batch_size)
            weight = torch.ones(batch_size, device=self._generator.device)
            return self._table.newest_queued(numbers), self._native(weight)
        cells, weight = self._prioritised.draw(
            batch_size, self.importance_exponent, self._generator
        )
        return self._native(cells), self._native(weight)

    def _draw_between(self, first: int, stop: int, batch_size: int) -> Array:
        generator = self._generator
        drawn = torch.randint(
            first, stop, (batch_size,), generator=generator, device=generator.device
        )
        return self._native(drawn)

    def _native(self, values: Tensor) -> Array:
        """Return a tensor as the table's columns are."""
        return values.numpy() if self.store.memory.on_host else values

    def _hand_out(self, values: Array, kind: torch.dtype) -> Tensor:
        tensor = torch.from_numpy(values) if self.store.memory.on_host else values
        return tensor.to(self.store.device, kind, non_blocking=True)
