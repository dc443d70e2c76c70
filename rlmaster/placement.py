"""Where a run is made: `placement.json`, the same on the computer with the project and on the host.

Who reads it tells by the machine and the folder in it whether the run is here.
"""

import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

from rlmaster.durable_files import JsonObject

MACHINE_ID = Path("/etc/machine-id")


def machine() -> str:
    """Return a name that no other computer has; cloned ones may share their machine id."""
    try:
        identity = MACHINE_ID.read_text().strip()[:12]
    except OSError:
        identity = ""
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in platform.node()) or "computer"
    return f"{name}-{identity}" if identity else name


@dataclass(frozen=True)
class Left:
    """A place that a run was taken away from while nobody could say how it stood there."""

    host: str
    folder: str
    attempt: int
    """The last attempt that counted there."""


@dataclass(frozen=True)
class Placement:
    """Where a run is made."""

    host: str
    """Name of the host in hosts.toml."""
    kind: str
    """`local` or `ssh`."""
    computer: str
    """Network name of the computer."""
    machine: str
    """What tells that computer from all others, as `machine` does there."""
    folder: str
    """The run folder there, an absolute path."""
    workspace: str
    """The workspace there, an absolute path; empty where the kind is `local`."""
    python: str
    """Interpreter there, an absolute path."""
    threads: int
    """Cores that the run has to itself."""
    from_attempt: int = 1
    """The first attempt that was made there."""
    left: tuple[Left, ...] = ()
    """Places that must still be told that the run is theirs no more."""

    def is_here(self, run_path: Path) -> bool:
        """Tell whether a run folder is that of the place itself, and not its mirror."""
        return self.machine == machine() and Path(self.folder) == run_path.absolute()

    def having_left(self, places: Iterable[Left]) -> "Placement":
        """Return it with more places that must still be told."""
        return replace(self, left=tuple(dict.fromkeys((*self.left, *places))))

    def having_told(self, host: str, folder: str) -> "Placement":
        """Return it without a place that has been told."""
        left = (place for place in self.left if (place.host, place.folder) != (host, folder))
        return replace(self, left=tuple(left))

    def to_data(self) -> JsonObject:
        """Return it as JSON data."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: JsonObject) -> "Placement | None":
        """Read it from JSON data, of which unknown fields are passed over; None if it is none."""
        known: JsonObject = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        left = known.get("left")
        entries = cast("list[Any]", left) if isinstance(left, list) else []
        try:
            known["left"] = tuple(Left(**entry) for entry in entries)
            return cls(**known)
        except TypeError:
            return None
