"""What experiment scripts say of themselves, kept by content in `runs/.state/descriptions/`.

An entry counts as long as every file that the script was read with holds what it held: the script,
the modules beside it, and what it imported of the project and of RLmaster. Installed packages count
by the folder that they are installed in, which changes with each of them. Like the index it may be
deleted at any time. What failed is not kept, since its cause may lie outside of any file.
"""

import hashlib
import sys
import sysconfig
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from rlmaster.durable_files import JsonObject, read_json, write_json

MOST_ENTRIES = 200
"""A form that is filled in leaves an entry for each look at it; the oldest go."""
SETTLED_S = 2.0
"""A file that changed so shortly before it was read may have changed while it was."""


class DescriptionCache:
    """The descriptions of a project's scripts."""

    def __init__(self, runs: Path) -> None:
        """Name the folder of all runs, whose state they belong to."""
        self._folder = runs / ".state" / "descriptions"

    def find(self, script: Path, name: str, overrides: Sequence[str]) -> JsonObject | None:
        """Return what a script said when nothing was different, or None where that is not known."""
        with suppress(OSError):
            entry = read_json(self._entry(script, name, overrides)) or {}
            files, said = entry.get("files"), entry.get("said")
            if isinstance(files, dict) and isinstance(said, dict):
                known = cast("Mapping[str, str]", files)
                neighbours = set(map(str, _neighbours(script)))
                if neighbours <= known.keys() and known == _contents(known):
                    return cast("JsonObject", said)
        return None

    def keep(
        self,
        script: Path,
        name: str,
        overrides: Sequence[str],
        said: JsonObject,
        read_files: Iterable[str],
    ) -> None:
        """Keep what a script said.

        Args:
            script: The script.
            name: The variable that holds the experiment, or nothing.
            overrides: What was changed of it.
            said: Its description.
            read_files: Sources that it was read with, apart from those beside it.
        """
        with suppress(OSError):  # it is asked again next time
            files = {*map(str, _neighbours(script)), *read_files}
            if any(_is_fresh(Path(file)) for file in files):
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            entry = {"files": _contents(files), "said": said}
            write_json(self._entry(script, name, overrides), entry)
            self._forget_the_oldest()

    def _entry(self, script: Path, name: str, overrides: Sequence[str]) -> Path:
        installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        packages = [str(Path(folder).stat().st_mtime_ns) for folder in sorted(installed)]
        key = [str(script), name, *overrides, "", sys.version, sys.executable, *packages]
        return self._folder / f"{_digest(repr(key).encode())}.json"

    def _forget_the_oldest(self) -> None:
        entries = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        for entry in entries[:-MOST_ENTRIES]:
            entry.unlink(missing_ok=True)


def _neighbours(script: Path) -> list[Path]:
    """Return the script and the modules beside it."""
    return [*script.parent.glob("*.py")]


def _is_fresh(file: Path) -> bool:
    return time.time() - file.stat().st_mtime < SETTLED_S


def _contents(files: Iterable[str]) -> dict[str, str]:
    return {file: _digest(Path(file).read_bytes()) for file in files}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
