"""One run, read again and again: each look returns only what is new since the last.

Numpy, Pillow and TensorBoard's format are loaded by the first look at a run, not by the app.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rlmaster.events import Event, read_events
from rlmaster.run_folder import RunFolder
from tui.plain_text import log_line, one_line
from tui.run_overview import RunOverview, read_overview

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray
    from PIL.Image import Image

    from rlmaster.reports.scalars import ScalarReader

    Floats = NDArray[numpy.float64]

LOG_TAIL_BYTES = 128_000
"""What is read of a log at most at a time; older lines are passed over."""
CURVE_BINS = 300
"""Each is drawn with its least and its greatest value; a terminal shows no more."""
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Curve:
    """A scalar over steps, with as many points as can be seen."""

    steps: "Floats"
    values: "Floats"


@dataclass(frozen=True)
class Preview:
    """A picture that training drew."""

    name: str
    whole: "Image"
    panels: "list[Image]"
    """Its magnified parts, if it says where they are: original, reconstruction, difference."""


@dataclass(frozen=True)
class RunNews:
    """What has changed in a run since it was last looked at."""

    overview: RunOverview | None
    """How it stands; None once its folder is gone."""
    events: list[Event] = field(default_factory=list[Event])
    """New events, oldest first."""
    log_lines: list[str] = field(default_factory=list[str])
    """New lines, safe to show."""
    curves: Mapping[str, Curve] | None = None
    """Every scalar, if any has changed."""
    preview: Preview | None = None
    """The newest picture, if it is another one."""


class RunReader:
    """Looks at one run folder."""

    def __init__(self, folder: RunFolder) -> None:
        """Begin at the start of every stream."""
        self._folder = folder
        self._log = LogTail(folder.log_file)
        self._event_offsets = {folder.worker_events: 0, folder.training_events: 0}
        self._scalars: ScalarReader | None = None
        self._preview_file: Path | None = None

    def read(self) -> RunNews:
        """Return what is new."""
        if not self._folder.exists():
            return RunNews(None)
        return RunNews(
            overview=read_overview(self._folder),
            events=_unless_unreadable(self._new_events, []),
            log_lines=_unless_unreadable(self._log.new_lines, []),
            curves=_unless_unreadable(self._new_curves, None),
            preview=_unless_unreadable(self._new_preview, None),
        )

    def _new_events(self) -> list[Event]:
        found: list[Event] = []
        for path, offset in self._event_offsets.items():
            new, self._event_offsets[path] = read_events(path, offset)
            found += new
        return sorted(found, key=lambda event: event.time)

    def _new_curves(self) -> Mapping[str, Curve] | None:
        from rlmaster.reports.scalars import ScalarReader

        if self._scalars is None:
            self._scalars = ScalarReader(self._folder.tensorboard)
        if not self._scalars.update():
            return None
        return {
            one_line(tag): thinned(series.steps, series.values)
            for tag, series in sorted(self._scalars.series.items())
        }

    def _new_preview(self) -> Preview | None:
        files = self._folder.preview_files()
        if not files or files[-1] == self._preview_file:
            return None
        preview = read_preview(files[-1])
        self._preview_file = files[-1]
        return preview


def _unless_unreadable(read: Callable[[], Answer], otherwise: Answer) -> Answer:
    """Read what others write; what vanishes or makes no sense is looked at again next time."""
    try:
        return read()
    except (OSError, ValueError, TypeError, KeyError):
        return otherwise


def thinned(steps: "Floats", values: "Floats") -> Curve:
    """Keep the finite points; of many, least and greatest of each of CURVE_BINS stretches."""
    import numpy

    finite = numpy.isfinite(values)
    steps, values = steps[finite], values[finite]
    if len(values) > 2 * CURVE_BINS:
        starts = numpy.linspace(0, len(values), CURVE_BINS, endpoint=False).astype(int)
        ends = numpy.append(starts[1:], len(values))
        kept = {
            start + extreme
            for start, end in zip(starts, ends, strict=True)
            for extreme in (values[start:end].argmin(), values[start:end].argmax())
        }
        chosen = numpy.array(sorted(kept | {0, len(values) - 1}))
        steps, values = steps[chosen], values[chosen]
    return Curve(steps.copy(), values.copy())


def read_preview(path: Path) -> Preview:
    """Read a picture and cut out the panels that its `zoomed_panels` names.

    Raises:
        OSError: If it is no picture.
    """
    from PIL import Image

    with Image.open(path) as opened:
        boxes = _boxes(opened.info.get("zoomed_panels"))
        whole = opened.convert("RGB")
    inside = all(
        0 <= left < right <= whole.width and 0 <= top < bottom <= whole.height
        for left, top, right, bottom in boxes
    )
    return Preview(path.name, whole, [whole.crop(box) for box in boxes] if inside else [])


def _boxes(text: Any) -> list[tuple[int, int, int, int]]:
    """Return the corners of each panel; none where the picture does not say them."""
    try:
        return [(int(a), int(b), int(c), int(d)) for a, b, c, d in json.loads(text)]
    except (TypeError, ValueError):
        return []


class LogTail:
    """Follows a log that grows."""

    def __init__(self, path: Path) -> None:
        """Begin with the last of what is there."""
        self._path = path
        self._offset = 0

    def new_lines(self) -> list[str]:
        """Return the whole lines that are new; of very many, the last."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return []
        if size < self._offset:
            self._offset = 0
        start = max(self._offset, size - LOG_TAIL_BYTES)
        with self._path.open("rb") as file:
            file.seek(start)
            content = file.read(LOG_TAIL_BYTES)
        whole, newline, _ = content.rpartition(b"\n")
        if not newline:
            return []
        self._offset, was_cut = start + len(whole) + 1, start > self._offset
        lines = whole.decode(errors="replace").split("\n")
        return [log_line(line) for line in lines[was_cut:]]
