"""Latents that an encoder which nothing changes made of frames, kept beside these.

A cell holds the latent of the view that ends with the frame in the same cell of the store, so an
observation of V views takes one new latent and V - 1 that are there already. Cell 0 holds what the
encoder makes of frames that were never played, which are black. Latents are float32, as they were
made: a head that learns from them learns what it would have learned from the frames.

Shapes: B batch, E environments, S frames of a view, V views of an observation, L numbers of a
latent, H and W pixels of a frame.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rlmaster.replay.cell_memory import Array
from rlmaster.replay.row_store import RowStore

Embed = Callable[[Tensor], Tensor]
"""Returns the latents `(E, L)` of views `(E, S, H, W)`, uint8; an embedder's `embed` does."""


class LatentMemory:
    """The latents of a store's frames.

    Attributes:
        frames_of_view: Frames that a latent is made of, S.
        num_views: Latents of an observation, V.
        num_rows: Rows of the store whose latents are kept; those of the next may be there before.
    """

    def __init__(
        self,
        store: RowStore,
        embed: Embed,
        *,
        latent_dim: int,
        frames_of_view: int,
        num_views: int,
    ) -> None:
        """Make room where the frames lie.

        Args:
            store: An empty store, which was told of `bytes_of_latent` beside each frame.
            embed: The encoder; it is always given the views of all environments in one row.
            latent_dim: Numbers of a latent, L.
            frames_of_view: Frames that it is made of, S.
            num_views: Latents of an observation, V, of frames that follow each other.

        Raises:
            TrainingError: If there is no room.
        """
        self.frames_of_view = frames_of_view
        self.num_views = num_views
        self._store = store
        self._embed = embed
        self._memory = store.memory.beside((latent_dim,), torch.float32)
        self._latents = self._memory.streams(store.num_environments)  # (T, E, L)
        self.begin()

    @property
    def num_bytes(self) -> int:
        """Memory that the latents take."""
        return self._memory.cells.nbytes

    @property
    def frames_needed(self) -> int:
        """Frames that an observation must have, V * S."""
        return self.num_views * self.frames_of_view

    @torch.no_grad()
    def begin(self) -> None:
        """Forget all latents, and make that of what was never played."""
        store = self._store
        shape = (store.num_environments, self.frames_of_view, *store.frame_shape)
        black = torch.zeros(shape, dtype=torch.uint8, device=store.device)
        self._memory.cells[0] = self._embed(black)[0]
        self.num_rows = store.first_row

    @torch.no_grad()
    def keep(self, row: int, views: Tensor) -> None:
        """Make the latents of a row, the one after those that are kept.

        Args:
            row: Its number in the store.
            views: What was seen there, `(E, S, H, W)` uint8, on the store's device.
        """
        self._latents[row % self._store.capacity_rows] = self._embed(views)
        self.num_rows = row + 1

    def gather(self, cells: Array) -> Tensor:
        """Return the latents in cells `(B, V)`, one behind the other, `(B, V * L)` float32."""
        return self._memory.gather(cells).flatten(1)


def bytes_of_latent(latent_dim: int) -> int:
    """Return the memory that a latent takes beside its frame."""
    return latent_dim * torch.float32.itemsize
