"""Watching a live run for two kinds of bad luck: nothing moves any more, or the disk fills up.

Both are fed at each heartbeat of the worker and go by a clock that nobody sets back.
"""

import math
import shutil
import statistics
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from rlmaster.events import Event, event
from rlmaster.run_folder import Progress

SHORTEST_STALL_S = 60.0
USUAL_INTERVALS = 10
"""A stall lasts as many of the usual intervals, if that is longer."""
INTERVALS_KEPT = 20
"""The usual interval is the median of so many."""
UNCOUNTED = ("preparing", "compiling")
"""Phases that may take long and count no steps."""

GIBIBYTE = 2**30
LEAST_FREE_BYTES = GIBIBYTE
SOON_S = 3600.0
"""A disk that will be full within this time is worth a warning."""
TREND_S = 600.0
"""How far back the trend of the free space looks."""
SHORTEST_TREND_S = 300.0
"""Less than this is one burst of writing and no trend."""
RECOVERY = 2
"""How many times either bound must be met before a disk that was filling counts as recovered."""


class StallWatch:
    """Notices when a run no longer moves.

    Usual is the median of the recent times between two changes. A stall is told once; it ends with
    the next change.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with a run that has just begun.

        Args:
            clock: Seconds that only ever grow.
        """
        self._clock = clock
        self._seen = ("", 0)
        self._moved_s = clock()
        self._intervals: deque[float] = deque(maxlen=INTERVALS_KEPT)
        self._told = False

    def observe(self, progress: Progress) -> Event | None:
        """Look at how far the run is; return an event when it has just turned out to stall."""
        now_s = self._clock()
        place = (progress.phase, progress.step)
        if place != self._seen:
            self._intervals.append(now_s - self._moved_s)
        if place != self._seen or progress.phase in UNCOUNTED:
            self._seen, self._moved_s, self._told = place, now_s, False
            return None
        still_s = now_s - self._moved_s
        if self._told or still_s < self._patience_s():
            return None
        self._told = True
        return event(
            "stalled",
            f"nothing has moved for {still_s:.0f} s, since step {progress.step:,} of "
            f"{progress.phase or 'the start'}; look at the end of log.txt, and at the load and the "
            "disk of its computer",
            progress.step,
            still_s=round(still_s, 1),
        )

    def _patience_s(self) -> float:
        usual_s = statistics.median(self._intervals) if self._intervals else 0.0
        return max(SHORTEST_STALL_S, USUAL_INTERVALS * usual_s)


class DiskWatch:
    """Notices when the disk of a run is nearly full, or will be soon at the rate of late.

    That is told once, until there is plenty of room again.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """Watch the disk that a folder is on.

        Args:
            folder: A folder that stays while it is watched.
            clock: Seconds that only ever grow.
            free_bytes: Returns how much room a folder's disk has.
        """
        self._folder, self._clock, self._free_bytes = folder, clock, free_bytes
        self._seen: deque[tuple[float, int]] = deque()
        """Moments of the last TREND_S, and how much was free then."""
        self._told = False

    def observe(self, step: int = 0) -> Event | None:
        """Look at the free space; return an event when it has just become too little.

        Args:
            step: Where on its axis the run is.

        Raises:
            OSError: If the folder is gone.
        """
        now_s, free = self._clock(), self._free_bytes(self._folder)
        while self._seen and now_s - self._seen[0][0] > TREND_S:
            self._seen.popleft()
        self._seen.append((now_s, free))
        left_s = self._seconds_left()
        margin = RECOVERY if self._told else 1
        is_scarce = free < margin * LEAST_FREE_BYTES or left_s < margin * SOON_S
        is_new, self._told = is_scarce and not self._told, is_scarce
        if not is_new:
            return None
        soon = f", and at this rate it is full in {left_s / 60:.0f} min" if left_s < SOON_S else ""
        return event(
            "disk_filling",
            f"{free / GIBIBYTE:.1f} GiB are free on the disk of {self._folder}{soon}; "
            "`rlmaster du` shows what takes the room, `rlmaster gc` frees what nobody needs",
            step,
            free_bytes=free,
        )

    def _seconds_left(self) -> float:
        """Return when the disk is full at the rate of late; infinity where it does not fill.

        The rate is the lower one of the trend's two halves: a burst that is over fills nothing.
        """
        first, middle, last = self._seen[0], self._seen[len(self._seen) // 2], self._seen[-1]
        if last[0] - first[0] < SHORTEST_TREND_S:
            return math.inf
        rate = min(_loss_per_s(first, middle), _loss_per_s(middle, last))
        return last[1] / rate if rate > 0 else math.inf


def _loss_per_s(then: tuple[float, int], now: tuple[float, int]) -> float:
    """Return how many bytes were lost in a second between two moments."""
    return (then[1] - now[1]) / (now[0] - then[0]) if now[0] > then[0] else 0.0
