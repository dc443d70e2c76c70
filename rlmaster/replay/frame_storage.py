"""Where frames shall live: on the device that trains, in memory, or on disk."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from rlmaster.errors import TrainingError

Storage = Literal["auto", "device", "memory", "disk"]
"""`auto` takes the first of the others that has room."""
Place = Literal["device", "memory", "disk"]

MEMINFO = Path("/proc/meminfo")
GIB = 2**30

USABLE_SHARES: dict[Place, float] = {"device": 0.6, "memory": 0.8, "disk": 0.9}
"""How much of what is free the frames may take; networks and other programs need the rest."""


@dataclass(frozen=True)
class FreeRoom:
    """What is free, in bytes; None where nobody says, which never stands in the way."""

    device: int | None
    memory: int | None
    disk: int | None
    """Of the file system of the run's folder; 0 without a folder."""


def choose_storage(wanted: Storage, needed_bytes: int, free: FreeRoom) -> Place:
    """Return where the frames go: where it is wanted, or the fastest place with room.

    Args:
        wanted: The setting.
        needed_bytes: Size of all frames, and of what else is kept of each.
        free: What there is.

    Raises:
        TrainingError: If there is not enough room, with what is needed and what is free.
    """
    places: tuple[Place, ...] = ("device", "memory", "disk") if wanted == "auto" else (wanted,)
    for place in places:
        room = getattr(free, place)
        if room is None or needed_bytes <= USABLE_SHARES[place] * room:
            return place
    usable = ", ".join(
        f"{USABLE_SHARES[place] * getattr(free, place) / GIB:.1f} GiB on the {place}"
        if place != "memory"
        else f"{USABLE_SHARES[place] * getattr(free, place) / GIB:.1f} GiB in memory"
        for place in places
    )
    raise TrainingError(
        f"the replay needs {needed_bytes / GIB:.1f} GiB, and it may take {usable}; "
        "keep fewer steps or free some space"
    )


def free_room(device: torch.device, folder: Path | None) -> FreeRoom:
    """Look how much is free on a device, in memory, and on the disk of a folder."""
    disk = 0 if folder is None else shutil.disk_usage(_existing(folder)).free
    return FreeRoom(available_bytes(device), available_bytes(torch.device("cpu")), disk)


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
