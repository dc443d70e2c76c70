"""The replay of a run: what training samples from, and what a checkpoint keeps of it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rlmaster.errors import TrainingError
from rlmaster.replay.chunk_files import OnProgress
from rlmaster.replay.sampling import Sampling


class ReplayBuffer(Sampling):
    """A replay that is saved as sealed chunks, and sampled as before once it is restored."""

    def save(self, folder: Path, on_progress: OnProgress | None = None) -> None:
        """Seal the rows that were added since the last time and whose outcome is known.

        Args:
            folder: The run's `replay` folder.
            on_progress: Called with the rows written and the rows to write.

        Raises:
            RunFolderError: If they cannot be written.
        """
        self.store.save(folder, on_progress, stop_row=max(0, self.store.num_rows - 1))

    def expire(self, oldest_row: int) -> None:
        """Delete sealed chunks that no checkpoint needs any more.

        Args:
            oldest_row: `first_row` in the state of the oldest checkpoint that may be restored.

        Raises:
            RunFolderError: If they cannot be deleted.
        """
        self.store.expire(oldest_row)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs beside the sealed rows: numbers and small tensors.

        It belongs to the `save` that was made at the same row.
        """
        store = self.store
        state: dict[str, Any] = {
            "first_row": store.first_row,
            "num_rows": store.num_rows,
            "capacity_rows": store.capacity_rows,
            "num_environments": store.num_environments,
            "frame_shape": list(store.frame_shape),
            "generator": self._generator.get_state(),
            "newest": {
                name: torch.from_numpy(values)
                for name, values in store.rows_between(
                    max(0, store.num_rows - 1), store.num_rows
                ).items()
            },
        }
        if self._prioritised is not None:
            state["leaves"] = self._prioritised.tree.leaves.cpu().clone()
            state["largest"] = self._prioritised.largest.cpu().clone()
        return state

    def restore(
        self, folder: Path, state: dict[str, Any], on_progress: OnProgress | None = None
    ) -> None:
        """Be as the replay was whose state it is; what was sealed later is deleted.

        This one may have room for another number of rows, as that of a branch for more steps has,
        as long as all rows are still there. Latents are not in it, so `embed_again` is due
        afterwards.

        Args:
            folder: The run's `replay` folder.
            state: What `state` returned.
            on_progress: Called with the rows read and the rows to read.

        Raises:
            TrainingError: If this replay is not empty, or of another size or kind.
            RunFolderError: If a row is missing, or a chunk is damaged.
        """
        self._require_same_kind(state)
        first_row, num_rows = state["first_row"], state["num_rows"]
        self.store.restore(folder, first_row, max(0, num_rows - 1), on_progress)
        newest = {name: values.numpy() for name, values in state["newest"].items()}
        self.store.keep_newest(newest)
        for row in range(first_row, num_rows):
            self._table.add_row(row)
        self._restore_draws(state)
        if self._prioritised is not None:
            device = self._generator.device
            self._prioritised.tree.set_all(self._laid_out(state).to(device))
            self._prioritised.largest = state["largest"].to(device)

    def _restore_draws(self, state: dict[str, Any]) -> None:
        """Draw on as the state's replay would, or anew where that drew on another kind of device.

        Draws are made where the frames lie, and a GPU makes others than a processor.
        """
        if len(state["generator"]) == len(self._generator.get_state()):
            self._generator.set_state(state["generator"])
        else:
            self._generator.manual_seed(self._generator.initial_seed() + state["num_rows"])

    def _laid_out(self, state: dict[str, Any]) -> Tensor:
        """Return the leaves of a state where this replay has the cells of the same rows."""
        leaves, old, new = state["leaves"], state["capacity_rows"], self.store.capacity_rows
        kept = leaves[1:].view(-1, old)[:, :new]
        return torch.cat([leaves[:1], functional.pad(kept, (0, new - kept.shape[1])).flatten()])

    def _require_same_kind(self, state: dict[str, Any]) -> None:
        store = self.store
        if store.num_rows > 0:
            raise TrainingError("a replay is restored before anything is added; make a new one")
        own = (store.capacity_rows, store.num_environments, list(store.frame_shape))
        its = (state["capacity_rows"], state["num_environments"], state["frame_shape"])
        has_all_rows = state["first_row"] == 0 and state["num_rows"] <= own[0]
        is_like_it = own[1:] == its[1:] and ("leaves" in state) == (self._prioritised is not None)
        if not is_like_it or (own[0] != its[0] and not has_all_rows):
            raise TrainingError(
                f"the checkpoint's replay has {its[0]:,} rows of {its[1]} environments with frames "
                f"of {its[2]}, {'with' if 'leaves' in state else 'without'} priorities, and this "
                f"one {own[0]:,} of {own[1]} with {own[2]}; keep the replay's settings, or "
                "launch a new run"
            )
