"""Pulling: files of a run come from its host, whole and verified, as far as they are not here.

A file arrives as `.NAME.partial`, goes on where it was cut, and gets its name once its checksum is
that of the file there. What names other files, such as the manifest of a checkpoint, comes last, as
it was before these were listed, and only if they are all here.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path

from rlmaster.errors import HostError, RunFolderError
from rlmaster.fleet.arriving_file import ArrivingFile, partial_name
from rlmaster.fleet.contained_files import open_file, replace_file
from rlmaster.fleet.file_source import FileSource, RemoteFile, Wanted
from rlmaster.fleet.frames import Frame
from rlmaster.fleet.run_files import BEST, Choice, Selection, best_name, order_of, rule_of
from rlmaster.hosts.remote import RemoteHost
from rlmaster.placement import Placement
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import HostLock, lock_folder

TRIES = 2
"""A file that has changed meanwhile is fetched again once."""
PROGRESS_EVERY_S = 0.2
WAIT_S = 60.0
"""For somebody else who pulls the same run."""


@dataclass(frozen=True)
class PullProgress:
    """How far a pull is, for people who watch."""

    path: str
    """The file that is on its way; empty while checksums are compared."""
    done_bytes: int
    total_bytes: int
    rate_bytes_per_s: float


@dataclass(frozen=True)
class Pulled:
    """What a pull brought."""

    fetched: tuple[str, ...] = ()
    """Files that came, within the run folder."""
    unchanged: tuple[str, ...] = ()
    """Files that were here already."""
    left_out: tuple[str, ...] = ()
    """Files that were not fetched, since `most_bytes` was reached."""
    missed: tuple[str, ...] = ()
    """Files that changed or vanished there while they were fetched."""
    fetched_bytes: int = 0
    """What has travelled, before compression."""


OnProgress = Callable[[PullProgress], None]


def pull(
    remote: RemoteHost,
    run: RunFolder,
    what: Selection | Sequence[str],
    progress: OnProgress | None = None,
    *,
    folder: str | None = None,
    most_bytes: int | None = None,
) -> Pulled:
    """Bring files of a run here; what was cut goes on, what is here stays.

    Args:
        remote: The host, connected.
        run: The run folder here.
        what: A selection, or patterns such as `checkpoints/update-000003000/*`.
        progress: Told how far it is, several times a second.
        folder: The run folder there; by default where its placement says.
        most_bytes: Small files come first, and those that would lead beyond this do not come.

    Raises:
        HostError: If the host cannot be asked, or offers what cannot be a file of a run.
        RunFolderError: If the run is made here, or a file cannot be written here.
    """
    folder = folder or refuse_unless_elsewhere(run).folder
    try:
        with _alone(run), FileSource(remote, folder) as source:
            return _Pull(source, run, progress or _nobody).bring(what, most_bytes)
    except OSError as error:
        raise RunFolderError(
            f"{run.path} cannot be written ({error.strerror or error}); free some space or check "
            "who may write there, and pull again: it goes on where it was cut"
        ) from error


def list_files(
    remote: RemoteHost, folder: str, what: Selection | Sequence[str], *, hashed: bool = False
) -> list[RemoteFile]:
    """List files of a run on its host, by path; with `hashed`, checksums are computed.

    Raises:
        HostError: If the host cannot be asked, or offers what cannot be a file of a run.
    """
    with FileSource(remote, folder) as source:
        files = _chosen(source.files(), what)
        if hashed:
            whole = [file for file in files if file.content is None]
            sums = {file.path: checksum for file, checksum in source.checksums(whole)}
            files = [replace(file, sha256=sums.get(file.path) or _sha256(file)) for file in files]
    return sorted(files, key=lambda file: file.path)


@contextmanager
def _alone(run: RunFolder) -> Generator[None]:
    """Keep others from pulling the same run, who would write the same files.

    Raises:
        RunFolderError: If somebody pulls it all the time.
    """
    with HostLock(lock_folder() / f"{run.id}.pull") as lock:
        if not lock.take_within(WAIT_S):
            raise RunFolderError(
                f"another command pulls files of run {run.short_id}; try again once it is done"
            )
        yield


def refuse_unless_elsewhere(run: RunFolder) -> Placement:
    """Return where a run is made.

    Raises:
        RunFolderError: If that is here.
    """
    placement = run.elsewhere()
    if placement is None:
        raise RunFolderError(f"run {run.short_id} is made here, so that there is nothing to pull")
    return placement


def _chosen(files: Iterable[RemoteFile], what: Selection | Sequence[str]) -> list[RemoteFile]:
    """Return those of the files there that are wanted, in the order in which they are fetched."""
    known = {file.path: file for file in files}
    best = known[BEST].content if BEST in known else None
    paths = Choice.of(what).pick(known, best_name(best or b""))
    return [
        known[path] for path in sorted(paths, key=lambda path: order_of(path, known[path].size))
    ]


def _sha256(file: RemoteFile) -> str:
    return hashlib.sha256(file.content).hexdigest() if file.content is not None else ""


def _nobody(_: PullProgress) -> None:
    """Watch nothing."""


@dataclass
class _Pull:
    """One pull, and how far it is."""

    source: FileSource
    run: RunFolder
    progress: OnProgress
    fetched: list[str] = field(default_factory=list[str])
    unchanged: list[str] = field(default_factory=list[str])
    left_out: list[str] = field(default_factory=list[str])
    missed: list[str] = field(default_factory=list[str])
    fetched_bytes: int = 0
    done_bytes: int = 0
    total_bytes: int = 0
    begun_s: float = field(default_factory=time.monotonic)
    told_s: float = 0.0

    def bring(self, what: Selection | Sequence[str], most_bytes: int | None) -> Pulled:
        """Bring everything that is wanted."""
        chosen: list[RemoteFile] = []
        for _ in range(TRIES):
            self.unchanged, self.left_out, self.missed = [], [], []
            chosen = _chosen(self.source.files(), what)
            lacking = self._lacking([file for file in chosen if file.content is None])
            self._fetch(self._within(lacking, most_bytes))
            if not self.missed:
                break
        for file in chosen:
            if file.content is not None:
                self._point(file, file.content)
        self._tell("", is_last=True)
        return Pulled(
            tuple(self.fetched),
            tuple(path for path in self.unchanged if path not in set(self.fetched)),
            tuple(self.left_out),
            tuple(self.missed),
            self.fetched_bytes,
        )

    # ------------------------------------------------------------------------------ what is here

    def _lacking(self, files: list[RemoteFile]) -> list[RemoteFile]:
        """Return the files that are not here as they are there."""
        same_size = {file.path for file in files if self._size_here(file.path) == file.size}
        compared = self.source.checksums(file for file in files if file.path in same_size)
        for file, checksum in compared:
            self._tell("")
            if self._is_here(file, checksum):
                self.unchanged.append(file.path)
        here = set(self.unchanged)
        return [file for file in files if file.path not in here]

    def _size_here(self, path: str) -> int:
        with suppress(OSError), _reading(self.run.path, path) as file:
            return os.fstat(file.fileno()).st_size
        return -1

    def _is_here(self, file: RemoteFile, checksum: str) -> bool:
        if self._size_here(file.path) != file.size:
            return False
        with _reading(self.run.path, file.path) as here:
            return hashlib.file_digest(here, "sha256").hexdigest() == checksum

    def _within(self, files: list[RemoteFile], most_bytes: int | None) -> list[RemoteFile]:
        """Leave out what would be too much, and refuse what there is no room for."""
        total, taken = 0, list[RemoteFile]()
        for file in files:
            if most_bytes is not None and total + file.size > most_bytes:
                self.left_out.append(file.path)
            else:
                total += file.size
                taken.append(file)
        free = shutil.disk_usage(self.run.path).free
        here = sum(max(0, self._size_here(partial_name(file.path))) for file in taken)
        if total - here > free:
            raise RunFolderError(
                f"{(total - here) / 1e9:,.1f} GB are to come from {self.source.host}, and "
                f"{free / 1e9:,.1f} GB are free at {self.run.path}; free some space first"
            )
        self.total_bytes = self.done_bytes + total
        return taken

    # ------------------------------------------------------------------------------ what arrives

    def _fetch(self, files: list[RemoteFile]) -> None:
        """Fetch files, one after the other; those that arrive damaged once more, as a whole."""
        damaged = self._arrive(self._wanted(files, may_go_on=True))
        if self._arrive(self._wanted(damaged, may_go_on=False)):
            raise HostError(
                f"{damaged[0].path} does not arrive from {self.source.host} as it is there: its "
                "checksum differs; try again, and look at the disks of both computers"
            )

    def _wanted(self, files: list[RemoteFile], *, may_go_on: bool) -> Iterator[Wanted]:
        for file in files:
            here = self._size_here(partial_name(file.path)) if may_go_on else 0
            rule = rule_of(file.path)
            offset = here if 0 < here <= file.size else 0
            yield Wanted(file, offset, is_whole=rule is None or not rule.grows)

    def _arrive(self, wanted: Iterable[Wanted]) -> list[RemoteFile]:
        """Write down what comes; return the files whose checksum is not that of what came."""
        damaged: list[RemoteFile] = []
        arriving: ArrivingFile | None = None
        try:
            for want, frame in self.source.fetch(wanted):
                if arriving is None:
                    arriving = ArrivingFile(self.run.path, want.file.path, want.offset)
                    self.done_bytes += want.offset
                if frame.text("kind") == "data":
                    self._take(arriving, frame.content)
                    continue
                if not self._end(arriving, want.file, frame):
                    damaged.append(want.file)
                arriving = None
        finally:
            if arriving:
                arriving.close()
        return damaged

    def _take(self, arriving: ArrivingFile, content: bytes) -> None:
        arriving.append(content)
        self.fetched_bytes += len(content)
        self.done_bytes += len(content)
        self._tell(arriving.path)

    def _end(self, arriving: ArrivingFile, file: RemoteFile, frame: Frame) -> bool:
        """See to a file of which everything has come; tell whether it is not damaged."""
        if frame.text("kind") == "changed":
            arriving.discard()
            self.missed.append(file.path)
        elif arriving.finish(file.size, frame.text("sha256")):
            self.fetched.append(file.path)
        else:
            self.done_bytes -= arriving.size
            return False
        return True

    def _point(self, file: RemoteFile, content: bytes) -> None:
        """Write what names other files, if all of these are here."""
        inner = file.path.rpartition("/")[0] + "/"
        if file.path == BEST:
            inner += f"{best_name(content)}/"
        if any(path.startswith(inner) for path in (*self.missed, *self.left_out)):
            self.left_out.append(file.path)
        elif self._is_here(file, _sha256(file)):
            self.unchanged.append(file.path)
        else:
            replace_file(self.run.path, file.path, content)
            self.fetched.append(file.path)

    def _tell(self, path: str, *, is_last: bool = False) -> None:
        now_s = time.monotonic()
        if is_last or now_s - self.told_s >= PROGRESS_EVERY_S:
            self.told_s = now_s
            rate = self.fetched_bytes / max(now_s - self.begun_s, 0.001)
            self.progress(PullProgress(path, self.done_bytes, self.total_bytes, rate))


def _reading(base: Path, path: str) -> BufferedReader:
    return os.fdopen(open_file(base, path, os.O_RDONLY), "rb")
