"""One run, read again and again: each look returns only what is new since the last.

Numpy, Pillow and TensorBoard's format are loaded by the first look at a run, not by the app.
"""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from rlmaster.durable_files import signature
from rlmaster.events import Event, read_events
from rlmaster.run_folder import RunFolder
from rlmaster.run_index.row import DAMAGE
from tui.reading.curve_reader import CurveReader
from tui.reading.curves import Curve
from tui.reading.log_tail import LogTail
from tui.reading.previews import Preview, UnreadablePreviewError, read_preview
from tui.reading.run_details import DetailsReader, RunDetails
from tui.reading.run_overview import RunOverview, read_overview

Answer = TypeVar("Answer")
Signature = tuple[int, int, int]


@dataclass(frozen=True)
class RunNews:
    """What has changed in a run since it was last looked at."""

    overview: RunOverview | None
    """How it stands; None once its folder is gone."""
    details: RunDetails | None = None
    """Its small files, if any of them may have changed."""
    events: list[Event] = field(default_factory=list[Event])
    """New events, oldest first."""
    log_lines: list[str] = field(default_factory=list[str])
    """New lines, safe to show."""
    curves: Mapping[str, Curve] | None = None
    """Every scalar, if any has changed, with all its points."""
    other_curves: Mapping[str, Curve] | None = None
    """The same of the run that is laid over it."""
    preview_files: list[Path] | None = None
    """All pictures, oldest first, if there are others than before."""
    preview: Preview | None = None
    """The newest picture, if it is another one."""
    preview_problem: str = ""
    """Why that one cannot be shown, in one sentence."""


class RunReader:
    """Looks at one run folder."""

    def __init__(self, folder: RunFolder) -> None:
        """Begin at the start of every stream."""
        self._folder = folder
        self._details = DetailsReader(folder)
        self._log = LogTail(folder.log_file)
        self._event_offsets = {folder.worker_events: 0, folder.training_events: 0}
        self._curves = CurveReader(folder)
        self._other_curves: CurveReader | None = None
        self._preview_files: list[Path] = []
        self._seen_preview: tuple[Path, Signature | None] | None = None

    def lay_over(self, other: RunFolder | None) -> None:
        """Read the scalars of another run too, from the next look on; None ends that."""
        self._other_curves = CurveReader(other) if other else None

    def read(self) -> RunNews:
        """Return what is new."""
        news, other = self.read_texts(), self._other_curves
        if news.overview is None:
            return news
        preview_files = _unless_unreadable(self._new_preview_files, None)
        preview, problem = self._new_preview()
        return replace(
            news,
            curves=_unless_unreadable(self._curves.read, None),
            other_curves=_unless_unreadable(other.read, None) if other else None,
            preview_files=preview_files,
            preview=preview,
            preview_problem=problem,
        )

    def read_texts(self) -> RunNews:
        """Return what is new but for curves and pictures, which take longer."""
        if not self._folder.exists():
            return RunNews(None)
        return RunNews(
            overview=read_overview(self._folder),
            details=_unless_unreadable(self._details.read, None),
            events=_unless_unreadable(self._new_events, []),
            log_lines=_unless_unreadable(self._log.new_lines, []),
        )

    def _new_events(self) -> list[Event]:
        found: list[Event] = []
        for path, offset in self._event_offsets.items():
            new, self._event_offsets[path] = read_events(path, offset)
            found += new
        return sorted(found, key=lambda event: event.time)

    def _new_preview_files(self) -> list[Path] | None:
        files = self._folder.preview_files()
        if files == self._preview_files:
            return None
        self._preview_files = files
        return files

    def _new_preview(self) -> tuple[Preview | None, str]:
        """Return the newest picture, or what hinders that, once for each state of its file."""
        if not self._preview_files:
            return None, ""
        newest = self._preview_files[-1]
        seen = newest, signature(newest)
        if seen == self._seen_preview:
            return None, ""
        self._seen_preview = seen
        try:
            return read_preview(newest), ""
        except UnreadablePreviewError as error:
            return None, str(error)


def _unless_unreadable(read: Callable[[], Answer], otherwise: Answer) -> Answer:
    """Read what others write; what vanishes or makes no sense is looked at again next time."""
    try:
        return read()
    except (*DAMAGE, KeyError, sqlite3.DatabaseError):
        return otherwise
