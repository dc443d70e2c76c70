"""Following a run: what is new in its folder until it ends; then its report and notice."""

import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rlmaster.errors import ReportError
from rlmaster.events import Event, event, read_events
from rlmaster.notify import Delivery, claim_announcement, notify_desktop
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_lock import RunLock, boot_id
from rlmaster.run_status import FINAL_STATES, State, Status
from rlmaster.standing import standing_sentence

POLL_S = 0.2
ANNOUNCED = frozenset({"started", "new_best", "diverged", "finished", "failed", "stopped", "lost"})
LONGEST_START_S = 120.0
"""A run that is prepared for longer, and that nobody holds the lock of, will never start."""
QUIET_S = 600.0
"""Between two notices of a new best, which early in training comes at every evaluation."""


@dataclass(frozen=True)
class Update:
    """What a look into a run folder found."""

    status: Status
    progress: Progress
    events: list[Event]
    """Those that were not there at the last look, oldest first."""


class Follower:
    """Reads one run, from wherever it stands to its end."""

    def __init__(self, run: RunFolder) -> None:
        """Start with the first event of the run."""
        self.run = run
        self._offsets = {run.worker_events: 0, run.training_events: 0}

    def look(self) -> Update:
        """Return how the run stands and what is new; one that nobody works on is lost."""
        status = mark_if_lost(self.run)
        events: list[Event] = []
        for stream, offset in self._offsets.items():
            found, self._offsets[stream] = read_events(stream, offset)
            events += found
        events.sort(key=lambda event: event.time)
        if status.state is State.LOST:  # nobody was left to write it
            events.append(event("lost", status.reason, self.run.progress().step))
        return Update(status, self.run.progress(), events)

    def updates(self) -> Iterator[Update]:
        """Yield a look every moment, the last one after the run has ended."""
        while True:
            update = self.look()
            yield update
            if update.status.state in FINAL_STATES:
                return
            time.sleep(POLL_S)


def mark_if_lost(run: RunFolder) -> Status:
    """Return a run's status; where nobody works on it although it says so, write that.

    Only what is known is judged: a lock on another computer says nothing here.
    """
    status = run.status()
    if status.state is State.RUNNING and status.host == platform.node():
        if status.boot_id != boot_id():
            return _end(run, status, State.LOST, f"{status.host} was restarted")
        path = Path(status.lock) if status.lock else None
        return _end(run, status, State.LOST, "worker and training were killed", path)
    age_s = (datetime.now(UTC) - run.created).total_seconds()
    if status.state is State.PREPARED and age_s > LONGEST_START_S:
        return _end(run, status, State.FAILED, "its worker never started")
    return status


def _end(
    run: RunFolder, seen: Status, state: State, reason: str, lock_path: Path | None = None
) -> Status:
    """Write how a run ended that nobody holds the lock of; where somebody does, leave it alone."""
    try:
        lock = RunLock(run.id, lock_path)
    except OSError:
        return seen
    try:
        if not lock.take() or (status := run.status()).state is not seen.state:
            return run.status()
        ended = status.enter(state, reason=reason)
        with suppress(OSError):  # who cannot write there can still be told
            run.write_status(ended)
        return ended
    finally:
        lock.close()


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


def finish(run: RunFolder, runs: Path) -> Ending:
    """Make the report of a run that has ended.

    Args:
        run: A run in a final state.
        runs: Where the project keeps its runs.
    """
    from rlmaster.reports.latex import make_report

    standing = standing_sentence(run, runs)
    videos = run.video_files()
    video = videos[-1] if videos else None
    try:
        report = make_report(run, standing=standing)
    except ReportError as error:
        return Ending(None, None, video, standing, str(error))
    return Ending(report.tex, report.pdf, video, standing, report.note)


def announce(run: RunFolder, runs: Path, events: list[Event], standing: str = "") -> list[Delivery]:
    """Tell the desktop what is worth telling, each event once whoever else follows the run.

    What could not be delivered may be told by somebody else, who has a desktop.
    """
    deliveries: list[Delivery] = []
    for happened in events:
        name = _notice_name(run, happened)
        if name and (claim := claim_announcement(runs, run.id, name)):
            title, body = _title(run, happened), _body(run, happened, standing)
            deliveries.append(notify_desktop(title, body, happened.severity))
            if not deliveries[-1].delivered:
                claim.unlink(missing_ok=True)
    return deliveries


def _notice_name(run: RunFolder, event: Event) -> str:
    """Return what is announced once, or nothing for an event that is not worth a notice."""
    if event.kind not in ANNOUNCED:
        return ""
    if event.kind != "new_best":
        return event.id
    quiet_periods = (event.moment - run.created).total_seconds() // QUIET_S
    return f"new_best in period {quiet_periods:.0f}" if quiet_periods >= 1 else ""


def _title(run: RunFolder, event: Event) -> str:
    return f"{run.name} {run.short_id}: {event.kind.replace('_', ' ')}"


def _body(run: RunFolder, event: Event, standing: str) -> str:
    """Say what matters: what happened, how it stands, why it was run, how to look."""
    why = run.rationale().partition("\n")[0][:120]
    lines = [event.message, standing, f"Why: {why}", f"Look: rlmaster follow {run.short_id}"]
    return "\n".join(line for line in lines if line)
