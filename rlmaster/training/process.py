"""What a process that trains asks of its processor and of its memory."""

import ctypes
import sys

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""From glibc's malloc.h."""
_KEPT_BYTES = 2**30
"""Freed memory that the process keeps for its next tensors."""
_LARGEST_KEPT_BYTES = 2**28
"""Of one tensor; a larger one, such as a replay, goes back to the kernel when it is freed."""


def prepare_process() -> None:
    """Make this process fit for training; to be called before its first tensor."""
    # What an optimiser remembers of dead weights fades to numbers that processors are slow with.
    torch.set_flush_denormal(True)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let tensors live where earlier ones did.

    As it comes, glibc gives the gradients of every update back to the kernel, which clears each of
    their pages before the next update may write there.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # other C libraries have other ways
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
