"""Collected frames as an ordinary torch dataset, for anyone's own training code."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rlmaster.replay.frame_store import Episode, FrameStore
from rlmaster.run_folder import RunFolder

Transform = Callable[[Tensor], Tensor]


class FrameDataset(Dataset[Tensor]):
    """Single frames, `(1, H, W)` float32 in [0, 1], for a DataLoader with or without workers."""

    def __init__(
        self,
        store: FrameStore,
        episodes: Iterable[Episode] | None = None,
        transform: Transform | None = None,
    ) -> None:
        """Look at the frames of a store.

        Args:
            store: Where they are, in main memory if the DataLoader shall have workers.
            episodes: Which of its episodes; all by default.
            transform: Applied to each frame, such as one of torchvision's.
        """
        self._store = store
        self._indices = store.frame_indices(store.episodes() if episodes is None else episodes)
        self._transform = transform

    @classmethod
    def from_run(cls, path: str | Path, transform: Transform | None = None) -> Self:
        """Load all frames that a run collected.

        Args:
            path: The run folder.
            transform: Applied to each frame.

        Raises:
            RunFolderError: If the run has no whole replay.
        """
        return cls(FrameStore.load(RunFolder(Path(path)).replay), transform=transform)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> Tensor:
        """Return one frame after the transform; -1 is the last."""
        frame = self._store.frames_at(self._indices[[position]])[0]
        pixels = frame.to(torch.float32).div_(255)
        return pixels if self._transform is None else self._transform(pixels)
