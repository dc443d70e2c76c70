"""A run that is mirrored from a host: what of it is here, and what is to be told of it next."""

from collections import Counter
from dataclasses import dataclass, field

from rlmaster.durable_files import signature
from rlmaster.fleet.run_files import Rule
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import Status

MOST_RUN_BYTES = 4 * 2**30
"""What is mirrored of one run; more can be pulled."""


@dataclass(frozen=True)
class Change:
    """What one look at a host brought for one run."""

    run: RunFolder
    paths: frozenset[str] = frozenset()
    """What has grown or was replaced here, within the run folder.

    Claims of notices, which lie in `runs/.state/announced/`, are `announced/NAME`.
    """
    ended: Status | None = None
    """The final status there, which is not written here yet: `write_ending` does that."""
    is_locked: bool | None = None
    """Whether the run lock is held there, told at first and when that changes; else None."""
    trouble: str = ""
    """Why the run is not mirrored, in one sentence that is told once."""


class RefusedError(Exception):
    """What a host says of a run cannot be; the text says what."""


@dataclass
class MirroredRun:
    """A run that is mirrored, and what its next change will say."""

    run: RunFolder
    number: int
    """Of its latest track: what was sent for an earlier one is not taken."""
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    """Of each file here."""
    files: Counter[str] = field(default_factory=Counter[str])
    """How many there are by each rule."""
    total_bytes: int = 0
    paths: set[str] = field(default_factory=set[str])
    ended: Status | None = None
    is_locked: bool | None = None
    told_locked: bool | None = None
    trouble: str = ""
    told_trouble: str = ""
    unwritten: Status | None = None
    """A status that waits for the run lock here."""
    _placed: tuple[object, str] = (None, "")
    """What told the placement's file when it was read, and the host that it named."""

    def host(self) -> str:
        """Return the host that the run is made on now, which another command may have changed."""
        seen = signature(self.run.placement_file)
        if seen != self._placed[0]:
            placement = self.run.placement()
            self._placed = (seen, placement.host if placement else "")
        return self._placed[1]

    def count(self, path: str, rule: Rule, size: int) -> None:
        """Count what a file will hold, and refuse what is too much."""
        if path not in self.sizes:
            self.files[rule.name] += 1
        self.total_bytes += size - self.sizes.get(path, 0)
        self.sizes[path] = size
        if self.files[rule.name] > rule.most_files or self.total_bytes > MOST_RUN_BYTES:
            raise RefusedError("offers more or larger files than a run has")

    def take_change(self) -> Change | None:
        """Return what has happened since the last time; None if nothing has."""
        is_locked = self.is_locked if self.is_locked != self.told_locked else None
        trouble = self.trouble if self.trouble != self.told_trouble else ""
        if not (self.paths or self.ended or trouble or is_locked is not None):
            return None
        change = Change(self.run, frozenset(self.paths), self.ended, is_locked, trouble)
        self.told_locked, self.told_trouble = self.is_locked, self.trouble
        self.paths, self.ended = set(), None
        return change
