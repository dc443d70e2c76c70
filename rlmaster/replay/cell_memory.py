"""Where the frames lie, or what else is kept of each, and how batches of them are gathered.

Frames lie in cells, a stream after the other, so that a window of one stream is one piece of
memory. Cell 0 is black: whatever stands before an episode's start is gathered from there.

Shapes: E environments, T rows of a stream, C = 1 + E * T cells; a frame has `(H, W)` pixels.
"""

import mmap
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from rlmaster.errors import TrainingError
from rlmaster.room import Place

Array = Any
"""A numpy array where frames lie in main memory or on disk, else a tensor on their device."""

RECYCLED_BUFFERS = 4
LARGEST_RECYCLED_BYTES = 2**26
SENDER_BYTES = 2**24
"""For dozens of steps of eight environments: waiting once for all of them costs next to nothing."""
ALIGNMENT = 16
"""Bytes at whose multiples every kind of number may begin."""

_SAMPLE = [np.empty(0)]
UNHELD = sys.getrefcount(_SAMPLE[0])
"""References to an entry of a list that nobody else holds; how Python counts them varies."""


class RecycledBuffers:
    """Memory for batches, used again once nobody holds the batch that lay there.

    Fresh memory costs a page fault for every 4 kB, which takes as long as the copy itself.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._buffers: list[NDArray[Any]] = []

    def take(self, shape: tuple[int, ...], kind: DTypeLike = np.uint8) -> NDArray[Any]:
        """Return memory of a shape that no tensor looks at; all that is taken is of one kind."""
        for number, buffer_shape in enumerate([buffer.shape for buffer in self._buffers]):
            # A tensor over it holds one reference more.
            if buffer_shape == shape and sys.getrefcount(self._buffers[number]) == UNHELD:
                return self._buffers[number]
        buffer = np.empty(shape, kind)
        if buffer.nbytes <= LARGEST_RECYCLED_BYTES:
            self._buffers = [*self._buffers, buffer][-RECYCLED_BUFFERS:]
        return buffer


def gathers_on_host(place: Place, device: torch.device) -> bool:
    """Tell whether batches for a device are gathered by numpy from cells that lie in a place."""
    return place != "device" or device.type == "cpu"


class Sender:
    """Sends what the processor knows to a GPU, and waits neither for the GPU nor for memory.

    A GPU fetches by itself only what lies in pinned memory, and making some takes longer than all
    the rest: so one piece of it is used again and again.
    """

    def __init__(self, device: torch.device, num_bytes: int = SENDER_BYTES) -> None:
        """Make the piece.

        Args:
            device: Where to.
            num_bytes: How much may be on its way before the processor waits.
        """
        self._device = device
        self._pinned = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._written = 0

    def send(self, values: NDArray[Any]) -> Tensor:
        """Return values on the device, as they are now; they may be overwritten at once."""
        size = -(-values.nbytes // ALIGNMENT) * ALIGNMENT
        if size > len(self._pinned):
            return torch.from_numpy(values).to(self._device, copy=True)
        if self._written + size > len(self._pinned):
            self._wait()
        piece = self._pinned[self._written :][: values.nbytes]
        self._written += size
        # By numpy: torch would wake its threads, whose busy waiting halves the emulators' speed.
        piece.numpy()[:] = values.reshape(-1).view(np.uint8)
        kind = torch.from_numpy(values).dtype
        staged = piece.view(kind).view(values.shape)
        return staged.to(self._device, non_blocking=True, copy=True)

    def _wait(self) -> None:
        """Wait until all that was sent has arrived, and begin at the front."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._written = 0


class CellMemory:
    """The cells of a store.

    Attributes:
        cells: Grey levels, `(C, H, W)` uint8, or of another shape and kind, `(C, ...)`.
        on_host: Whether they lie in main memory or on disk, where numpy gathers them.
    """

    def __init__(
        self,
        num_cells: int,
        cell_shape: tuple[int, ...],
        device: torch.device,
        place: Place,
        folder: Path | None = None,
        kind: torch.dtype = torch.uint8,
    ) -> None:
        """Make room.

        Args:
            num_cells: Cells, C.
            cell_shape: Shape of what lies in a cell, such as the pixels of a frame, `(H, W)`.
            device: Where batches are needed.
            place: Where the cells lie.
            folder: Where a file for them may be, if they lie on disk.
            kind: Of the numbers in them.

        Raises:
            TrainingError: If there is no room for the file.
        """
        self._device = device
        self._place: Place = place
        self._folder = folder
        self._kind = torch.empty(0, dtype=kind).numpy().dtype
        self._buffers = RecycledBuffers()
        self.on_host = gathers_on_host(place, device)
        self._sender: Sender | None = None
        shape = (num_cells, *cell_shape)
        if not self.on_host:
            self.cells = torch.empty(shape, dtype=kind, device=device)
        elif place == "disk" and folder is not None:
            self.cells = torch.from_numpy(_unlinked_file(folder, shape, self._kind))
        else:
            # Numpy asks for huge pages, torch does not: gathering is a tenth faster with them.
            self.cells = torch.from_numpy(np.empty(shape, self._kind))
        self.cells[0] = 0

    def beside(self, cell_shape: tuple[int, ...], kind: torch.dtype) -> "CellMemory":
        """Return as many cells in the same place for something else that is kept of each frame.

        Raises:
            TrainingError: If there is no room for the file.
        """
        return CellMemory(
            len(self.cells), cell_shape, self._device, self._place, self._folder, kind
        )

    def send(self, values: NDArray[Any]) -> Array:
        """Return host values as they are gathered: unchanged, or on the device of the cells."""
        if self.on_host:
            return values
        if self._sender is None:
            self._sender = Sender(self._device)
        return self._sender.send(values)

    def streams(self, num_environments: int) -> Tensor:
        """Return the cells by row and environment, a view, `(T, E, ...)`."""
        played = self.cells[1:]
        rows = len(played) // num_environments
        return played.view(num_environments, rows, *played.shape[1:]).transpose(0, 1)

    def gather(self, cells: Array) -> Tensor:
        """Copy what lies in cells together, on the device where batches are needed.

        Args:
            cells: Numbers of cells, of any shape `(...)`.

        Returns:
            Grey levels, `(..., H, W)` uint8, or what else the cells hold.
        """
        shape = (*cells.shape, *self.cells.shape[1:])
        if not self.on_host:
            chosen = (cells if isinstance(cells, Tensor) else self.send(cells)).reshape(-1)
            return self.cells.index_select(0, chosen).view(shape)
        if self._device.type == "cpu":
            gathered = self._buffers.take(shape, self._kind)
            self._take(cells, gathered)
            return torch.from_numpy(gathered)
        # Torch itself uses pinned memory again, and only after the copy from there is over.
        staged = torch.empty(shape, dtype=self.cells.dtype, pin_memory=True)
        self._take(cells, staged.numpy())
        return staged.to(self._device, non_blocking=True)

    def _take(self, cells: NDArray[np.int64], out: NDArray[Any]) -> None:
        # Alone, torch's `index_select` is up to 1.5 times as fast with its threads, but 10 to 30
        # times slower as soon as another process wants their cores: they wait for each other.
        # With "raise" numpy would gather into a copy first.
        np.take(self.cells.numpy(), cells, axis=0, out=out, mode="clip")


def _unlinked_file(folder: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Map a file that no name leads to, so that nothing is left however the process ends."""
    size = int(np.prod(shape)) * kind.itemsize
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # Really taken from the disk now: a file with holes would kill the process when full.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.frombuffer(mmap.mmap(file.fileno(), size), kind).reshape(shape)
    except OSError as error:
        raise TrainingError(
            f"cannot keep {size:,} bytes of the replay on disk in {folder} "
            f"({error.strerror or error}); free some space or keep fewer steps"
        ) from error
