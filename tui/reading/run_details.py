"""What is known of a run beside its streams: read again only where a file has changed."""

from dataclasses import dataclass, field
from pathlib import Path

from rlmaster.durable_files import JsonObject
from rlmaster.reports.summary import result_sentence
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_index.row import RunRow, read_row, readable, readable_status

LOOKS_BETWEEN_RELATIVES = 20
"""Who builds on a run is written in other folders, so it is asked for now and then."""

Stamp = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True)
class RunDetails:
    """A run's small files, as they are: none of the texts is safe to show."""

    row: RunRow
    result: str
    """What it came to, in a sentence."""
    host_choice: JsonObject
    """Where it was sent, who asked for that, and the ranking of that moment."""
    attempts: list[JsonObject]
    provenance: JsonObject
    environment: JsonObject
    parents: list[RunRow] = field(default_factory=list[RunRow])
    children: list[RunRow] = field(default_factory=list[RunRow])


class DetailsReader:
    """Looks at one run's small files."""

    def __init__(self, folder: RunFolder) -> None:
        """Begin with nothing known."""
        self._folder = folder
        self._stamp: Stamp = ()
        self._looks = 0

    def read(self) -> RunDetails | None:
        """Return what is known if anything may have changed."""
        stamp = tuple(_modification(file) for file in self._files())
        self._looks += 1
        if stamp == self._stamp and self._looks % LOOKS_BETWEEN_RELATIVES:
            return None
        details = read_details(self._folder)
        self._stamp = stamp
        return details

    def _files(self) -> list[Path]:
        run = self._folder
        return [
            run.run_file,
            run.config_file,
            run.rationale_file,
            run.conclusion_file,
            run.tags_file,
            run.provenance_file,
            run.environment_file,
            run.status_file,
            run.attempts_file,
            run.progress_file,
            run.standing_file,
        ]


def read_details(folder: RunFolder) -> RunDetails:
    """Read a run's small files; a damaged one costs its own part."""
    row = read_row(folder, readable_status(folder)[0])
    with RunIndex(folder.path.parent.parent) as index:
        parents, children = index.named(row.parents), index.children(folder.id)
    return RunDetails(
        row=row,
        result=readable(lambda: result_sentence(folder.progress()), ""),
        host_choice=readable(folder.host_choice, {}),
        attempts=readable(folder.attempts, []),
        provenance=readable(folder.provenance, {}),
        environment=readable(folder.environment, {}),
        parents=parents,
        children=children,
    )


def _modification(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
