"""How much room this computer has for frames: on the device that trains, in memory, and on disk."""

import os
import shutil
from pathlib import Path

import torch

from rlmaster.room import FreeRoom

MEMINFO = Path("/proc/meminfo")


def free_room(device: torch.device, folder: Path | None) -> FreeRoom:
    """Look how much is free on a device, in memory, and on the disk of a folder."""
    disk = 0 if folder is None else shutil.disk_usage(_existing(folder)).free
    memory = available_bytes(torch.device("cpu"))
    return FreeRoom(memory if device.type == "cpu" else available_bytes(device), memory, disk)


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


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
