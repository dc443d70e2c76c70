"""Making room on a host: what nobody needs there any more, listed first and then removed.

Garbage there is what `rlmaster gc` there finds. Runs of this project go by a rule: they ended long
ago, and every file that they have there is here, with the same checksum.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rlmaster.durable_files import JsonObject
from rlmaster.events import moment_of
from rlmaster.fleet.answers import entries_in, rows_in
from rlmaster.fleet.contained_files import open_file
from rlmaster.fleet.file_source import RemoteFile
from rlmaster.fleet.owed import is_owed
from rlmaster.fleet.pull import list_files
from rlmaster.fleet.run_files import Selection, shown_name
from rlmaster.fleet.session import HostSession, Say
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_status import FINAL_STATES, Status

ONLY_THERE = ("replay/", "checkpoints/")
"""What a run that nobody will go on with may lose."""
COMMAND_S = 600.0
"""How long a host may take to look through its files, or to remove them."""


@dataclass(frozen=True)
class GuestRun:
    """A run of this project that ended long ago and still takes room on a host."""

    run: RunFolder
    folder: str
    """Its folder there."""
    size_bytes: int
    only_there: tuple[RemoteFile, ...]
    """Files that are not here, or not the same here."""
    status: Status
    """How it stood when they were compared."""

    @property
    def only_there_bytes(self) -> int:
        """What would be lost with it."""
        return sum(file.size for file in self.only_there)

    def may_go(self, *, give_up_frames: bool) -> bool:
        """Tell whether nothing would be lost, or nothing but frames and checkpoints."""
        can_be_lost = ONLY_THERE if give_up_frames else ()
        return all(file.path.startswith(can_be_lost) for file in self.only_there)


def guest_runs(session: HostSession, older_than_s: float, say: Say) -> Iterator[GuestRun]:
    """Yield the runs of the project that ended long ago on a host and are there still.

    Args:
        session: The host.
        older_than_s: How long ago, in seconds.
        say: Told which run is compared, since checksums of many frames take a while.

    Raises:
        HostError: If the host cannot be asked.
    """
    for run in _ended_on(session, older_than_s):
        placement, status = run.placement(), run.status()
        folder = placement.folder if placement else ""
        if not _is_there(session, run, folder):
            continue
        say(f"comparing run {run.short_id} with what is here")
        files = list_files(session.remote, folder, Selection.ALL, hashed=True)
        lacking = tuple(file for file in files if _checksum_here(run, file) != file.sha256)
        yield GuestRun(run, folder, sum(file.size for file in files), lacking, status)


def garbage_there(session: HostSession, age: str, *, remove: bool) -> list[JsonObject]:
    """List what nobody needs in the workspace of a host, or remove it.

    Args:
        session: The host.
        age: How long deleted runs stay in the trash there, such as `30d`.
        remove: Whether it is removed, for good.

    Returns:
        A row for each thing, with `kind`, `what`, `bytes` and whether it was `removed`.

    Raises:
        HostError: If the host cannot be asked.
    """
    mode = "--yes" if remove else "--list"
    answer = session.rlmaster("gc", mode, "--older-than", age, timeout_s=COMMAND_S)
    return [_garbage_row(row) for row in entries_in(answer, "garbage")]


def discard(session: HostSession, runs: Sequence[GuestRun]) -> dict[str, str]:
    """Remove runs from a host for good; return why not, by id, for those that stay.

    One that was resumed since its files were compared stays.

    Raises:
        HostError: If the host cannot be asked.
    """
    same = [guest for guest in runs if guest.run.status() == guest.status]
    folders = [guest.folder for guest in same]
    rows = rows_in(session.rlmaster("discard", *folders, timeout_s=COMMAND_S)) if same else {}
    unknown = {"error": f"{session.host.name} does not say whether it is gone"}
    resumed = {"error": "it has been resumed meanwhile"}
    rows = {guest.run.id: resumed for guest in runs if guest not in same} | rows
    errors = {guest.run.id: rows.get(guest.run.id, unknown).get("error") for guest in runs}
    return {run_id: shown_name(str(error)) for run_id, error in errors.items() if error is not None}


def _ended_on(session: HostSession, older_than_s: float) -> list[RunFolder]:
    """Return the project's runs that ended long ago where a session leads, oldest first."""
    runs_folder = session.project.runs
    with RunIndex(runs_folder) as index:
        index.sync()
        rows = [row for row in index.rows() if row.state in FINAL_STATES]
    now = datetime.now(UTC)
    found: list[RunFolder] = []
    for row in reversed(rows):
        run = RunFolder(runs_folder / row.path)
        is_old = (now - moment_of(row.since)).total_seconds() >= older_than_s
        placement = run.elsewhere() if is_old else None
        if placement and placement.machine == session.machine and not is_owed(run):
            found.append(run)
    return found


def _is_there(session: HostSession, run: RunFolder, folder: str) -> bool:
    """Tell whether a host still has a run, which has ended there too."""
    row = rows_in(session.rlmaster("look-after", folder)).get(run.id, {})
    return row.get("state") in list(FINAL_STATES)


def _checksum_here(run: RunFolder, file: RemoteFile) -> str:
    """Return the SHA-256 of a file here, if it has the size of the one there."""
    try:
        with os.fdopen(open_file(run.path, file.path, os.O_RDONLY), "rb") as here:
            if os.fstat(here.fileno()).st_size != file.size:
                return ""
            return hashlib.file_digest(here, "sha256").hexdigest()
    except OSError:
        return ""


def _garbage_row(row: JsonObject) -> JsonObject:
    size = row.get("bytes")
    return {
        "kind": shown_name(str(row.get("kind"))),
        "what": shown_name(str(row.get("what"))),
        "bytes": size if isinstance(size, int) and size >= 0 else 0,
        "removed": row.get("removed") is True,
        "error": None if row.get("error") is None else shown_name(str(row["error"])),
    }
