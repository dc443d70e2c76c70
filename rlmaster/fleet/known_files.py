"""What of a run is here already, told so that a host sends only the rest."""

import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rlmaster.fleet.contained_files import open_file
from rlmaster.fleet.run_files import CLAIMS, RULES, STATUS, Rule
from rlmaster.run_folder import RunFolder

TAIL_BYTES = 4096
"""By so much of its end a host recognises what is here of a file that grows."""


def known_files(run: RunFolder, claims: Path) -> dict[str, list[int]]:
    """Return size and checksum of each mirrored file that is here.

    The checksum is that of the whole file, or of the end of one that grows. The status is left out,
    so that a host always tells it.

    Args:
        run: The run folder here.
        claims: Folder of its claims of notices here.
    """
    known: dict[str, list[int]] = {}
    for rule in RULES:
        base = claims if rule.folder == CLAIMS else run.path / rule.folder
        for path in _files(base, rule) if rule.name != STATUS else ():
            with suppress(OSError):  # what cannot be read is sent again
                known[rule.path_of(path)] = _known(base, path, rule)
    return known


def _files(base: Path, rule: Rule) -> Iterator[str]:
    """Give what a rule is about, within its folder."""
    if not rule.folder:
        yield rule.name
        return
    for folder, folders, names in os.walk(base):
        inner = Path(folder).relative_to(base)
        if len(inner.parts) >= rule.folders_deep:
            folders.clear()
        for name in names:
            path = (inner / name).as_posix()
            if rule.pattern.fullmatch(rule.path_of(path)):
                yield path


def _known(base: Path, path: str, rule: Rule) -> list[int]:
    with os.fdopen(open_file(base, path, os.O_RDONLY), "rb") as file:
        size = min(os.fstat(file.fileno()).st_size, rule.most_bytes)
        file.seek(max(0, size - TAIL_BYTES) if rule.grows else 0)
        return [size, zlib.crc32(file.read(size - file.tell()))]
