"""What was looked for on a computer, what it costs to lack it, and what mends that."""

import re
from dataclasses import asdict, dataclass
from typing import Any

GIB = 2**30
LEAST_DISK_BYTES = 2 * GIB
"""A run of 100,000 frames keeps a few hundred MiB."""
LEAST_MEMORY_BYTES = 2 * GIB
"""A run of 100,000 frames needs 0.7 GiB for them, and torch about as much again."""
LARGEST_CLOCK_ERROR_S = 5.0
NETWORK_FILE_SYSTEMS = re.compile(
    r"nfs|cifs|smb|9p|afs|ceph|lustre|gpfs|beegfs|fuse\.(ssh|gluster|s3)fs"
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for."""

    name: str
    found: str
    """What there is, or what was found instead."""
    missing: bool = False
    cost: str = ""
    """What it costs to lack it; empty where it is not missing."""
    remedy: str = ""
    """What to type, or to do, to mend it."""
    essential: bool = False
    """Whether nothing can run without it."""

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)


def unknown(name: str, problem: str) -> Finding:
    """Return that something could not be looked at."""
    return Finding(name, problem, True, "whether it works is not known", "look again later")


def enough(name: str, there: int | None, least: int, cost: str, remedy: str) -> Finding:
    """Return whether there is enough free room of a kind, in bytes; None is not known."""
    if there is None:
        return unknown(name, "it cannot be measured here")
    found = f"{there / GIB:.1f} GiB free"
    return Finding(name, found) if there >= least else Finding(name, found, True, cost, remedy)
