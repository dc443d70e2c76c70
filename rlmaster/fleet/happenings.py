"""What a watcher tells whoever watches it: hosts come and go, runs grow and end."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rlmaster.durable_files import JsonObject


@dataclass(frozen=True)
class HostSeen:
    """A host can be reached now, or cannot."""

    host: str
    reachable: bool
    reason: str = ""
    """Why not, in one sentence."""

    def to_data(self) -> JsonObject:
        """Return it as JSON data."""
        return {"kind": "host", "host": self.host, "reachable": self.reachable, **_why(self.reason)}


@dataclass(frozen=True)
class RunGrew:
    """Files of a run have come here."""

    host: str
    run_folder: Path
    paths: tuple[str, ...]
    """What has grown or was replaced, within the run folder."""

    def to_data(self) -> JsonObject:
        """Return it as JSON data."""
        return {"kind": "run", **_run(self.host, self.run_folder), "paths": list(self.paths)}


@dataclass(frozen=True)
class RunEnded:
    """The final status of a run is here, and with it all that it needed to be whole."""

    host: str
    run_folder: Path
    state: str

    def to_data(self) -> JsonObject:
        """Return it as JSON data."""
        return {"kind": "ended", **_run(self.host, self.run_folder), "state": self.state}


@dataclass(frozen=True)
class Trouble:
    """Something could not be done; it is tried again where that may help."""

    host: str
    """Empty where it is no host's."""
    reason: str
    """What, and why, in one sentence."""

    def to_data(self) -> JsonObject:
        """Return it as JSON data."""
        return {"kind": "trouble", "host": self.host, **_why(self.reason)}


Happening = HostSeen | RunGrew | RunEnded | Trouble
Tell = Callable[[Happening], None]
"""Hears of each, from any thread."""


def _run(host: str, folder: Path) -> JsonObject:
    return {"host": host, "run_id": folder.name, "run_folder": str(folder)}


def _why(reason: str) -> JsonObject:
    return {"reason": reason}
