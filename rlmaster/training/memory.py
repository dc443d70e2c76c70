"""Whether what a run collects fits into memory, asked before hours are spent on it."""

import os
from pathlib import Path

import torch

from rlmaster.errors import TrainingError

MEMINFO = Path("/proc/meminfo")
STEP_BYTES = 84 * 84 + 9
"""One row of the frame store: the frame, and what was done there and followed."""
GIB = 2**30


def require_memory(steps: int, device: torch.device) -> None:
    """Refuse to collect more than fits.

    Args:
        steps: Agent steps that will be collected.
        device: Where their frames will live.

    Raises:
        TrainingError: With what is needed and what is available.
    """
    needed, available = steps * STEP_BYTES, available_bytes(device)
    if available is not None and needed > available:
        raise TrainingError(
            f"{steps:,} steps need {needed / GIB:.1f} GiB of memory for their frames, and "
            f"{available / GIB:.1f} GiB are available on {device}; collect fewer (frames.steps)"
        )


def available_bytes(device: torch.device) -> int | None:
    """Return the memory that could be had there now, or None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = MEMINFO.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration, ValueError):
        return _free_bytes()


def _free_bytes() -> int | None:
    """Return the free memory without what caches would give back."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
