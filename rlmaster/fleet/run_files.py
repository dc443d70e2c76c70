"""Which files of a run come from its host, what they may be called, and how large they may be.

Whatever is not named here belongs to the computer with the project and is never taken from a host:
run.json, config.json, rationale.md, tags.json, placement.json, requests/, report/ and the like.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from rlmaster.durable_files import parse_object

KIBIBYTE, MEBIBYTE = 2**10, 2**20
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.,+=@ -]{0,199}"
"""What a file or folder may be called: nothing that hides, leads elsewhere or moves a cursor."""
MOST_FOLDERS = 5
"""How deep a file may lie in a run folder."""
STATUS = "status.json"
LOG = "log.txt"
BEST = "checkpoints/best.json"
MOST_SHOWN = 80
MOST_FILES = 200_000
"""Of a run, in a listing."""
POINTERS = ("manifest.json", "best.json")
"""Files that say which others count, so they come after these."""
CLAIMS = "announced"
"""Stands for the folder of a run's claims of notices, which lies beside the runs."""


@dataclass(frozen=True)
class Rule:
    """How the files of one kind are mirrored while a run lives."""

    folder: str
    """Where they are, within the run folder; empty for the run folder itself."""
    name: str
    """What they are called: in the run folder itself a name, elsewhere a regular expression."""
    grows: bool
    """Whether they are only appended to; others are replaced whole."""
    most_bytes: int
    """What is beyond this stays on the host."""
    most_files: int = 1
    folders_deep: int = 0
    """How many folders further in they may lie."""
    every_s: float = 1.0
    """How often they are looked at; with 0 several times a second, and sent before others."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The regular expression of whole paths."""
        if not self.folder:
            return re.compile(re.escape(self.name))
        inner = rf"(?:{NAME}/){{0,{self.folders_deep}}}"
        return re.compile(f"{re.escape(self.folder)}/{inner}{self.name}", re.ASCII)

    def path_of(self, name: str) -> str:
        """Return what a file is called from the run folder."""
        return f"{self.folder}/{name}" if self.folder else name

    def to_data(self) -> dict[str, Any]:
        """Return what the program on the host needs to know."""
        names = ("folder", "name", "grows", "most_bytes", "most_files", "folders_deep", "every_s")
        return {name: getattr(self, name) for name in names}


RULES = (
    Rule("", STATUS, False, 64 * KIBIBYTE, every_s=0.0),
    Rule("", "attempts.jsonl", True, 16 * MEBIBYTE, every_s=0.0),
    Rule("events", r"[a-z_]{1,40}\.jsonl", True, 64 * MEBIBYTE, most_files=8, every_s=0.0),
    Rule("", "progress.json", False, MEBIBYTE, every_s=2.0),
    Rule("", "environment.json", False, MEBIBYTE),
    Rule("", LOG, True, 64 * MEBIBYTE, every_s=2.0),
    Rule("tensorboard", rf"(?=.*tfevents){NAME}", True, 512 * MEBIBYTE, 1_000, 2, every_s=2.0),
    Rule("previews", r"[A-Za-z0-9_-]{1,100}\.png", False, 4 * MEBIBYTE, most_files=5_000),
    Rule(CLAIMS, r"[A-Za-z0-9_.+-]{1,150} push-[a-z0-9.-]{1,100}", False, 64, most_files=1_000),
)
"""What is mirrored while a run lives."""


def rule_of(path: str) -> Rule | None:
    """Return by which rule a file is mirrored; None where it is none that a host may send so."""
    return next((rule for rule in RULES if rule.pattern.fullmatch(path)), None)


def shown_name(name: str) -> str:
    """Return a name from another computer as it may be shown: short, and all of it readable."""
    return ascii(name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}...")


PULLED = re.compile(
    r"(?:log\.txt|attempts\.jsonl|progress\.json|environment\.json"
    r"|(?:events|tensorboard|previews|videos|tensors|checkpoints|replay)"
    rf"(?:/{NAME}){{1,{MOST_FOLDERS}}})",
    re.ASCII,
)
"""What may be pulled. The status is not: it is written last, by whoever has everything else."""


FROM_PROJECT = re.compile(
    r"(?:run|config|provenance|placement|tags|status)\.json|(?:rationale|conclusion)\.md"
    r"|(?:requests|report|plots|encoder|policy)/.+"
)
"""What the computer with the project has of its own."""


def strange_files(paths: Iterable[str]) -> list[str]:
    """Return those paths of a run folder that RLmaster does not write, and so never brings away."""
    known = (PULLED, FROM_PROJECT)
    return [path for path in paths if not any(pattern.fullmatch(path) for pattern in known)]


class Selection(Enum):
    """What of a run is wanted."""

    END = "end"
    """What a run that has ended leaves: previews, videos, tensors, the best checkpoint."""
    RESUME = "resume"
    """What going on elsewhere needs: newest and best checkpoint, frames, curves, events."""
    REPLAY = "replay"
    """The frames that it has collected."""
    ALL = "all"
    """Everything that the run has written there."""


PATTERNS = {
    Selection.END: ("previews/**", "videos/**", "tensors/**"),
    Selection.RESUME: ("*", "events/**", "tensorboard/**", "previews/**", "replay/**"),
    Selection.REPLAY: ("replay/**",),
    Selection.ALL: ("**",),
}
CHECKPOINT = re.compile(r"checkpoints/((?:update|step|best)-(\d{1,18})(?:\.\d+)?)/manifest\.json")
"""The file that makes a checkpoint whole; with its name and its step."""
KEPT_FOR_RESUME = 2
"""As training keeps them: the newest might be damaged."""


@dataclass(frozen=True)
class Choice:
    """Which files of a run are wanted, as a pull asks a listing."""

    patterns: tuple[str, ...]
    newest: int = 0
    """How many of the newest checkpoints are wanted besides."""
    best: bool = False
    """Whether the best checkpoint is."""
    _compiled: list[re.Pattern[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        compiled = [re.compile(_expression(pattern)) for pattern in self.patterns]
        object.__setattr__(self, "_compiled", compiled)

    @classmethod
    def of(cls, what: "Selection | Iterable[str]") -> "Choice":
        """Return what a selection, or what patterns mean."""
        if not isinstance(what, Selection):
            return cls(tuple(what))
        newest = KEPT_FOR_RESUME if what is Selection.RESUME else 0
        best = what in (Selection.END, Selection.RESUME)
        return cls(PATTERNS[what], newest, best)

    def pick(self, paths: Iterable[str], best_name: str) -> list[str]:
        """Return those of some paths that are wanted.

        Args:
            paths: Everything that is there.
            best_name: Folder of the best checkpoint; empty where there is none.
        """
        known = list(paths)
        folders = self._checkpoints(known, best_name)
        return [
            path
            for path in known
            if path.startswith(folders)
            or (path == BEST and self.best)
            or any(pattern.fullmatch(path) for pattern in self._compiled)
        ]

    def _checkpoints(self, paths: list[str], best_name: str) -> tuple[str, ...]:
        found = [match for path in paths if (match := CHECKPOINT.fullmatch(path))]
        found.sort(key=lambda match: (int(match[2]), match[1]))
        names = {match[1] for match in found[-self.newest :] if self.newest}
        names |= {best_name} if self.best and best_name else set()
        return tuple(f"checkpoints/{name}/" for name in names)


def best_name(pointer: bytes) -> str:
    """Return the folder of the best checkpoint, as best.json names it; empty where it is none."""
    name = (parse_object(pointer) or {}).get("checkpoint")
    return name if isinstance(name, str) and re.fullmatch(NAME, name, re.ASCII) else ""


def _expression(pattern: str) -> str:
    """Return a pattern with `*` and `**` as a regular expression."""
    parts = re.split(r"(\*\*|\*)", pattern)
    meaning = {"**": ".*", "*": "[^/]*"}
    return "".join(meaning.get(part) or re.escape(part) for part in parts)


def order_of(path: str, size: int) -> tuple[bool, int, str]:
    """Return by what files are pulled: small ones first, those that point at others at the end."""
    return path.rpartition("/")[2] in POINTERS, size, path
