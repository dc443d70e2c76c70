"""Following a run: what is new in its folder until it ends; then its report and notice."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rlmaster.errors import HostError, ReportError
from rlmaster.events import Event, event, read_events
from rlmaster.hosts.queue import Queue
from rlmaster.hosts.reachability import unreachable_since
from rlmaster.lifecycle import look_after, wake_queue_runner
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_lock import HostLock, lock_folder
from rlmaster.run_status import FINAL_STATES, State, Status
from rlmaster.standing import standing_sentence

POLL_S = 0.2
REPORT_PATIENCE_S = 120.0
"""How long one process waits for another one to make a run's report."""
WAKE_S = 2.0
"""Between two looks whether the queue runner lives, while the run waits."""


@dataclass(frozen=True)
class Update:
    """What a look into a run folder found."""

    status: Status
    progress: Progress
    events: list[Event]
    """Those that were not there at the last look, oldest first."""
    ahead: int | None = None
    """Runs that start before this one, while it waits for a slot here."""
    host: str = ""
    """Name of the host where it is made, if that is another computer."""
    unreachable: str = ""
    """Why and since when nothing comes from there, if nothing does."""


class Follower:
    """Reads one run, from wherever it stands to its end."""

    def __init__(self, run: RunFolder) -> None:
        """Start with the first event of the run."""
        self.run = run
        self._offsets = {run.worker_events: 0, run.training_events: 0}
        self._next_wake = time.monotonic() + WAKE_S

    def look(self) -> Update:
        """Return how the run stands and what is new; one that nobody works on is lost."""
        status = look_after(self.run)
        events: list[Event] = []
        for stream, offset in self._offsets.items():
            found, self._offsets[stream] = read_events(stream, offset)
            events += found
        events.sort(key=lambda event: event.time)
        if status.state is State.LOST:  # nobody was left to write it
            events.append(event("lost", status.reason, self.run.progress().step))
        if host := self.host:
            unreachable = self._why_nothing_comes(host)
            return Update(status, self.run.progress(), events, host=host, unreachable=unreachable)
        ahead = self._see_to_queue() if status.state is State.QUEUED else None
        return Update(status, self.run.progress(), events, ahead)

    @property
    def host(self) -> str:
        """Name of the host where the run is made; empty where that is this computer."""
        placement = self.run.elsewhere()
        return placement.host if placement else ""

    def _why_nothing_comes(self, host: str) -> str:
        found = unreachable_since(self.run.path.parent.parent, host)
        return f"{host} {found}" if found else ""

    def _see_to_queue(self) -> int | None:
        """Return how many runs start before this one; see to it that somebody starts them."""
        if time.monotonic() >= self._next_wake:
            self._next_wake = time.monotonic() + WAKE_S
            with suppress(HostError, OSError):  # tried again a little later
                wake_queue_runner()
        return Queue.here().position(self.run.id)

    def updates(self) -> Iterator[Update]:
        """Yield a look every moment, the last one when the run has ended or its folder is gone."""
        while True:
            update = self.look()
            yield update
            if update.status.state in FINAL_STATES or not self.run.exists():
                return
            time.sleep(POLL_S)


# ----------------------------------------------------------------------------- after the end


@dataclass(frozen=True)
class Ending:
    """What was made of a run after it ended."""

    tex: Path | None
    pdf: Path | None
    video: Path | None
    standing: str
    note: str
    """What could not be made and why, or nothing."""


def finish(run: RunFolder, runs: Path, *, anew: bool = True) -> Ending:
    """Make the report of a run, one process at a time.

    Args:
        run: The run.
        runs: Where the project keeps its runs.
        anew: Whether a report that was made since the run ended is made again.
    """
    with HostLock(lock_folder() / f"{run.id}.report") as lock:
        lock.take_within(REPORT_PATIENCE_S)  # in vain where one hangs: better twice than never
        return _known_ending(run) if not anew and _has_report(run) else _make_report(run, runs)


def _known_ending(run: RunFolder) -> Ending:
    """Return what somebody else has made of a run."""
    pdf = run.report_pdf if run.report_pdf.exists() else None
    note = "" if pdf else f"there is no report.pdf; `rlmaster report {run.short_id}` says why"
    return Ending(run.report_tex, pdf, _newest_video(run), run.standing(), note)


def _has_report(run: RunFolder) -> bool:
    """Tell whether a report was made since the run entered the state that it is in."""
    try:
        made_s = run.report_tex.stat().st_mtime
        return made_s >= run.status_file.stat().st_mtime
    except OSError:
        return False


def _make_report(run: RunFolder, runs: Path) -> Ending:
    from rlmaster.reports.latex import make_report

    standing = standing_sentence(run, runs)
    try:
        report = make_report(run, standing=standing)
    except ReportError as error:
        return Ending(None, None, _newest_video(run), standing, str(error))
    return Ending(report.tex, report.pdf, _newest_video(run), standing, report.note)


def _newest_video(run: RunFolder) -> Path | None:
    videos = run.video_files()
    return videos[-1] if videos else None
