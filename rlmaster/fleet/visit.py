"""A visit to a host: all that is done for its runs over one connection, until it is lost."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from rlmaster.durable_files import JsonObject
from rlmaster.errors import HostError, RlmasterError, RunFolderError
from rlmaster.events import moment_of
from rlmaster.fleet.answers import rows_in
from rlmaster.fleet.duties import Duty, Remembered, duty
from rlmaster.fleet.happenings import RunEnded, RunGrew, Tell, Trouble
from rlmaster.fleet.lane import Lane
from rlmaster.fleet.mirror import Change, HostMirror, write_ending
from rlmaster.fleet.pull import pull
from rlmaster.fleet.run_files import Selection
from rlmaster.fleet.session import HostSession
from rlmaster.fleet.shipping import hand_over
from rlmaster.fleet.tidings import Tidings
from rlmaster.placement import Left, Placement
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import RunLock
from rlmaster.run_status import FINAL_STATES, WAITING_STATES, State, Status

STEP_S = 1.0
"""Between two looks at what is to be done; what comes from the host is taken in at once."""
FREE_LOCK_S = 3.0
"""A worker that ends frees its lock a moment before its last word is here."""
ASK_EVERY_S = 10.0
"""Between two questions to a host about a run whose worker is gone."""
WAITING_ASK_S = 60.0
"""Between two questions about runs that wait, which see to it that somebody there starts them."""
TRY_AGAIN_S = 30.0
"""After something could not be done over a connection that is well."""
ENDING_LOOK_S = 2.0
"""Between two looks whether a run that was told to end has done so."""
MOST_REFUSALS = 3
"""After which what a run has left is given up, although its host answers."""
FIRST_BYTES = 64 * 2**20
"""What is brought of a run's end before it is said to have ended; the rest comes after."""
MOST_ASKED = 50
"""Runs that a host is asked about at a time."""
COMMAND_S = 120.0
"""How long a host may take over a command about many runs."""

Attempt = tuple[str, int]
"""A run's id, and which attempt of it."""


class Visit:
    """Mirrors the runs of one host and does for them what only contact with it allows.

    What the host says is taken in by the thread that calls `look`; what takes longer is done in
    lanes beside it: commands, the ends of runs, and large files that can wait.
    """

    def __init__(
        self, session: HostSession, tidings: Tidings, tell: Tell, gathered: set[Attempt]
    ) -> None:
        """Begin to stream.

        Args:
            session: The host, connected; stays the caller's.
            tidings: Tells people what happens in its runs.
            tell: Told what is brought.
            gathered: The attempts of which all is here; those that are gathered now are added.

        Raises:
            HostError: If streaming cannot be started.
        """
        self._session, self._tidings, self._tell = session, tidings, tell
        self._gathered = gathered
        self._host = session.host.name
        self._mirror = HostMirror(session.remote, session.project.runs)
        self._duties = Remembered(lambda run: duty(run, self._host))
        self._tracked: dict[str, RunFolder] = {}
        self._unlocked: set[str] = set()
        """Ids of the runs whose lock nobody holds there."""
        self._free_since: dict[str, float] = {}
        """Since when, monotonic, that is so of a run that is said to be running."""
        self._unwritten: set[str] = set()
        """Ids of the runs whose end is here, but could not be written."""
        self._not_before: dict[object, float] = {}
        """When something may be tried again."""
        self._refusals: Counter[Attempt] = Counter()
        self._clock_ahead = timedelta()
        self._commands, self._ends, self._rest = (Lane(self._fail) for _ in range(3))
        self._next_look, self._next_ask = 0.0, time.monotonic() + WAITING_ASK_S
        self._is_new = True

    def look(self, runs: Sequence[RunFolder]) -> None:
        """Do what is to be done now, and take in what the host says for a moment.

        Raises:
            HostError: If the host does not answer any more.
        """
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + STEP_S
            self._see_to(runs)
        for change in self._mirror.step(STEP_S):
            self._take(change)

    def close(self) -> None:
        """End streaming."""
        with suppress(HostError):
            self._mirror.close()

    # ------------------------------------------------------------------------ what is to be done

    def _see_to(self, runs: Sequence[RunFolder]) -> None:
        for run_id in self._tracked.keys() - {run.id for run in runs}:
            self._untrack(run_id)
        while self._unwritten:
            self._untrack(self._unwritten.pop())  # tracked anew, its host says again how it ended
        before = set(self._tracked)
        for run in runs:
            self._do(run, self._duties.of(run))
        fresh = [self._tracked[run_id] for run_id in self._tracked.keys() - before]
        # What happened before there was contact, such as a restart, only the host can find out; and
        # whether it has got what waits there, since a resume may have been cut.
        self._look_after(run for run in fresh if self._is_new or _waits(run))
        self._is_new = False
        self._look_after(self._without_worker())
        if time.monotonic() >= self._next_ask:
            self._next_ask = time.monotonic() + WAITING_ASK_S
            self._look_after(r for r in self._tracked.values() if _waits(r))

    def _do(self, run: RunFolder, due: Duty) -> None:
        """Begin what is to be done about a run, unless it is being done."""
        if due is Duty.MIRROR and run.id not in self._tracked:
            self._tracked[run.id] = run
            self._mirror.track(run)
        if due is not Duty.MIRROR:
            self._untrack(run.id)
        if due is Duty.HAND_OVER:
            self._try(self._commands, (due, run.id), partial(self._hand_over, run))
        if due is Duty.RELEASE:
            self._try(self._commands, (due, run.id), partial(self._release, run))
        if due is Duty.GATHER and (attempt := _attempt(run)) not in self._gathered:
            self._try(self._rest, (due, *attempt), partial(self._gather, run, attempt))

    def _untrack(self, run_id: str) -> None:
        if self._tracked.pop(run_id, None):
            self._mirror.untrack(run_id)
        self._unlocked.discard(run_id)
        self._free_since.pop(run_id, None)

    def _try(self, lane: Lane, name: tuple[object, ...], work: Callable[[], object]) -> None:
        """Do something in a lane, but not again and again where it fails at once."""
        if time.monotonic() >= self._not_before.get(name, 0.0):
            self._not_before[name] = time.monotonic() + TRY_AGAIN_S
            lane.do(name, work)

    def _without_worker(self) -> list[RunFolder]:
        """Return the runs whose lock has been free for a while although they are to be running."""
        now = time.monotonic()
        late: list[RunFolder] = []
        for run in self._tracked.values():
            if run.id not in self._unlocked or run.status().state is not State.RUNNING:
                self._free_since.pop(run.id, None)
            elif now - self._free_since.setdefault(run.id, now) > FREE_LOCK_S:
                self._free_since[run.id] = now + ASK_EVERY_S
                late.append(run)
        return late

    # ---------------------------------------------------------------------- what the host says

    def _take(self, change: Change) -> None:
        run = change.run
        if change.trouble:
            self._fail(f"run {run.short_id}: {change.trouble}")
        if change.paths:
            self._tell(RunGrew(self._host, run.path, tuple(sorted(change.paths))))
        if any(path.startswith("events/") for path in change.paths):
            self._tidings.look(run, self._clock_ahead)
        if change.is_locked is not None:  # told when that changes
            (self._unlocked.discard if change.is_locked else self._unlocked.add)(run.id)
        if (status := change.ended) is not None:
            self._ends.do(run.id, partial(self._end, run, status))

    # ------------------------------------------------------------------------- in the lanes

    def _end(self, run: RunFolder, status: Status) -> None:
        """Bring what a run has left, as far as it is small, then write how it ended.

        A connection that is lost meanwhile leaves it as it was; the next one says it anew.
        """
        try:
            pull(self._session.remote, run, Selection.END, most_bytes=FIRST_BYTES)
        except (RlmasterError, OSError) as error:
            if not self._session.remote.connection.is_alive:
                return
            self._fail(f"run {run.short_id} has ended, but not all of it is here: {error}")
        try:
            has_ended = write_ending(run, status)
        except RunFolderError:
            self._unwritten.add(run.id)
        else:
            if has_ended:
                self._tell(RunEnded(self._host, run.path, status.state))

    def _gather(self, run: RunFolder, attempt: Attempt) -> None:
        """Bring the rest of what a run has left; what its host cannot give is left there."""
        try:
            pull(self._session.remote, run, Selection.END)
        except RlmasterError:
            self._refusals[attempt] += self._session.remote.connection.is_alive
            if self._refusals[attempt] < MOST_REFUSALS:
                raise
            self._fail(f"not all that run {run.short_id} left is here; `rlmaster pull` tries again")
        self._gathered.add(attempt)

    def _hand_over(self, run: RunFolder) -> None:
        """Complete a launch or a resume that was cut, unless somebody is at it."""
        with RunLock(run.id) as lock:
            if lock.take() and duty(run, self._host) in (Duty.HAND_OVER, Duty.MIRROR):
                hand_over(self._session, run, _unheard)

    def _release(self, run: RunFolder) -> None:
        """Tell the host that a run which it had is its no more, and cross that out."""
        with RunLock(run.id) as lock:
            if not lock.take():
                return
            while (placement := run.placement()) and (left := _left_on(self._host, placement)):
                if not self._has_let_go(run, left):  # it keeps its work first
                    self._not_before[Duty.RELEASE, run.id] = time.monotonic() + ENDING_LOOK_S
                    return
                others = tuple(other for other in placement.left if other != left)
                run.write_placement(replace(placement, left=others))

    def _has_let_go(self, run: RunFolder, left: Left) -> bool:
        """Tell the host, and tell whether the run has ended there, or is not there any more."""
        answer = self._session.rlmaster("release", left.folder, timeout_s=COMMAND_S)
        row = rows_in(answer).get(run.id, {"error": "it does not say how the run stands"})
        if row.get("error") and row.get("is_there") is not False:
            raise HostError(f"{self._host} still has run {run.short_id}: {row['error']}")
        return row.get("state") in (None, *FINAL_STATES)

    def _look_after(self, runs: Iterable[RunFolder]) -> None:
        """Let the host look after runs of its own, in which it may find that one is lost."""
        wanted = list(runs)
        for first in range(0, len(wanted), MOST_ASKED):
            some = wanted[first : first + MOST_ASKED]
            name = ("look after", *(run.id for run in some))
            self._commands.do(name, partial(self._ask_after, some))

    def _ask_after(self, runs: Sequence[RunFolder]) -> None:
        places = {run: placement.folder for run in runs if (placement := run.placement())}
        asked = datetime.now(UTC)
        answer = self._session.rlmaster("look-after", *places.values(), timeout_s=COMMAND_S)
        if isinstance(now := answer.get("now"), str):
            self._clock_ahead = moment_of(now) - asked
        rows = rows_in(answer)
        for run in runs:
            if _has_not_got(rows.get(run.id, {}), run.status()):
                name = (Duty.HAND_OVER, run.id)
                self._try(self._commands, name, partial(self._hand_over, run))

    def _fail(self, reason: str) -> None:
        self._tell(Trouble(self._host, reason))


def _left_on(host: str, placement: Placement) -> Left | None:
    """Return a place on a host that a run was taken away from, if there is one."""
    return next((left for left in placement.left if left.host == host), None)


def _attempt(run: RunFolder) -> Attempt:
    return run.id, run.status().attempt


def _waits(run: RunFolder) -> bool:
    return run.status().state in WAITING_STATES


def _has_not_got(row: JsonObject, here: Status) -> bool:
    """Tell whether a host has not got what is wanted of it: the run itself, or its next attempt."""
    if here.state not in WAITING_STATES:
        return False
    attempt = row.get("attempt")
    return bool(row.get("error")) or (isinstance(attempt, int) and attempt < here.attempt)


def _unheard(_sentence: str) -> None:
    """Nobody listens to the steps."""
