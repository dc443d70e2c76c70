"""Tidings: people are told what happens in runs elsewhere, as their files come here."""

import threading
from datetime import timedelta
from pathlib import Path

from rlmaster.announcing import LAST_NOTICE_S, Announcer
from rlmaster.events import Event, read_events
from rlmaster.notify import Delivery
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import WAITING_STATES, Status

CLAIMS_ARRIVE_S = 15.0
"""How long after an event a worker that pushes it itself has done so and its claim is here."""


class Tidings:
    """Tells people about the runs of one project; its methods may be called by any thread."""

    def __init__(self, runs: Path) -> None:
        """Begin with nothing told.

        Args:
            runs: Where the project keeps its runs.
        """
        self._runs = runs
        self._told: dict[str, _Told] = {}
        self._lock = threading.Lock()

    def look(self, run: RunFolder, clock_ahead: timedelta = timedelta()) -> list[Event]:
        """Tell what is new in a run's events, and return it.

        Args:
            run: The run.
            clock_ahead: How far the clock of its host is ahead of ours.
        """
        return self._of(run, clock_ahead).look()

    def tell_ending(self, run: RunFolder, status: Status) -> list[Delivery]:
        """Tell how a run ended, and wait until that has arrived, or has not within its time.

        Returns:
            How the last notice fared on each channel that nobody else had told it on.
        """
        told = self._of(run, timedelta())
        told.look()
        with self._lock:
            self._told.pop(run.id, None)
        return told.tell_ending(status)

    def _of(self, run: RunFolder, clock_ahead: timedelta) -> "_Told":
        with self._lock:
            if run.id not in self._told:
                self._told[run.id] = _Told(run, self._runs, clock_ahead)
            return self._told[run.id]


class _Told:
    """What people have been told of one run."""

    def __init__(self, run: RunFolder, runs: Path, clock_ahead: timedelta) -> None:
        self._run = run
        self._announcer = Announcer(run, runs, clock_ahead=clock_ahead)
        self._offsets = {run.worker_events: 0, run.training_events: 0}
        self._lock = threading.Lock()

    def look(self) -> list[Event]:
        with self._lock:
            events: list[Event] = []
            for stream, offset in self._offsets.items():
                found, self._offsets[stream] = read_events(stream, offset)
                events += found
            events.sort(key=lambda event: event.time)
            self._announcer.tell(events, hold_push_s=_hold_s(self._run.status()))
            return events

    def tell_ending(self, status: Status) -> list[Delivery]:
        hold_s = _hold_s(status)
        with self._lock:
            self._announcer.tell_ending(status, hold_push_s=hold_s)
            return self._announcer.close(hold_s + LAST_NOTICE_S)


def _hold_s(status: Status) -> float:
    """Return how long nothing is pushed of a run whose worker may do that, as far as is known."""
    return CLAIMS_ARRIVE_S if status.announces or status.state in WAITING_STATES else 0.0
