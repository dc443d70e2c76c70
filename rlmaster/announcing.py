"""What is worth a notice, what a notice says, and who is told of it, once.

Whoever follows a run announces what happens in it; how it ended is announced by its worker as well,
in case nobody follows. Claims in `runs/.state/` see to it that each person hears it once. Those of
a worker on another computer come with the run's files, and who follows holds back meanwhile what
that worker may be pushing.
"""

import queue
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rlmaster.errors import UsageError
from rlmaster.events import SEVERITIES, Event, Severity, moment_of
from rlmaster.notify import Channel, Delivery, channels, deliver_once
from rlmaster.reports.summary import result_sentence
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State, Status
from rlmaster.standing import standing_sentence
from rlmaster.user_config import UserConfig, read_user_config, user_config_path

ANNOUNCED = frozenset(
    {
        *("new_best", "above_random", "above_human", "plateau"),
        *("stalled", "disk_filling", "diverged", "resumed_by_itself"),
    }
)
"""Kinds of event that are worth a notice whatever else; a start is where it was waited for."""
ENDINGS = {
    State.COMPLETED: "finished",
    State.STOPPED: "stopped",
    State.FAILED: "failed",
    State.LOST: "lost",
}
STANDINGS = {"best so far": "best_so_far", "worst so far": "worst_so_far"}
"""How the sentence of a standing begins, where that is worth saying first."""
LONG_WAIT_S = 5.0
"""A run that waited no longer for its start was never seen to wait."""
QUIET = timedelta(minutes=10)
"""Between two notices of a new best, which early in training comes at every evaluation."""
NEWS = timedelta(days=1)
"""What happened longer ago is told to nobody who begins to follow."""
RETRY_S = 60.0
"""After which a notice that did not arrive is tried again."""
LAST_NOTICE_S = 10.0
"""How long a program that is about to end waits for its last notices to arrive."""


@dataclass(frozen=True)
class Notice:
    """Something that people are told."""

    name: str
    """Names it within its run: who has heard of a notice of that name is not told again."""
    kinds: frozenset[str]
    """What it is about, of NOTICE_KINDS; a channel is told what has one that it asked for."""
    title: str
    body: str
    severity: Severity


class Announcer:
    """Tells people about one run, while whoever asks for it goes on.

    Each channel has a thread of its own, so that no silent server holds up another channel. What
    did not arrive is tried again after a while and with each further notice.
    """

    def __init__(
        self,
        run: RunFolder,
        runs: Path,
        *,
        clock_ahead: timedelta = timedelta(),
    ) -> None:
        """Find out who is to be told, and how.

        Args:
            run: The run.
            runs: Where the project keeps its runs.
            clock_ahead: How far the clock by which the run's events are dated is ahead of ours.
        """
        self._run, self._runs, self._clock_ahead = run, runs, clock_ahead
        self._names: set[str] = set()
        self._problems: list[Delivery] = []
        try:
            config = read_user_config()
        except UsageError as error:  # no reason to watch the run no longer
            self._problems.append(Delivery(False, str(error), "push services"))
            config = UserConfig(user_config_path())
        claims = runs / ".state" / "announced" / run.id
        self._tellers = [_Teller(channel, claims) for channel in channels(config)]

    def tell(self, events: Iterable[Event], *, hold_push_s: float = 0.0) -> None:
        """Tell what is worth a notice; of an ending, `tell_ending` does.

        Args:
            events: What happened.
            hold_push_s: How long nothing is pushed, so that the run's own worker may have done it.
        """
        for event in events:
            if notice := notice_of(self._run, event, self._clock_ahead):
                self._tell(notice, hold_push_s)

    def tell_ending(self, status: Status, *, hold_push_s: float = 0.0) -> None:
        """Tell how the run ended, if it has.

        Args:
            status: How the run stands, which who may not write there knows better than its folder.
            hold_push_s: How long nothing is pushed, so that the run's own worker may have done it.
        """
        if notice := ending_notice(self._run, self._runs, status, self._clock_ahead):
            self._tell(notice, hold_push_s)

    def close(self, wait_s: float = LAST_NOTICE_S) -> list[Delivery]:
        """Wait for a bounded time until all was told; then nothing more can be.

        Returns:
            How the last notice fared on each channel that this process told it on.
        """
        deadline = time.monotonic() + wait_s
        for teller in self._tellers:
            teller.end()
        outcomes = [teller.outcome(deadline) for teller in self._tellers]
        return self._problems + [outcome for outcome in outcomes if outcome]

    def _tell(self, notice: Notice, hold_push_s: float) -> None:
        if notice.name not in self._names:
            self._names.add(notice.name)
            for teller in self._tellers:
                teller.tell(notice, hold_push_s)


class Unheard:
    """Stands for an announcer where somebody else tells people."""

    def tell(self, events: Iterable[Event]) -> None:
        """Tell nobody."""

    def tell_ending(self, status: Status) -> None:
        """Tell nobody."""

    def close(self) -> list[Delivery]:
        """Return that nobody was told."""
        return []


def announce_ending(run: RunFolder, runs: Path) -> list[Delivery]:
    """Tell how a run ended, within ten seconds or so and whatever happens: it raises nothing.

    Args:
        run: A run that has ended.
        runs: Where the project keeps its runs.

    Returns:
        How that went on each channel that had not been told by somebody else.
    """
    outcomes: list[Delivery] = []
    deadline = time.monotonic() + LAST_NOTICE_S

    def tell() -> None:
        try:
            announcer = Announcer(run, runs)
            announcer.tell_ending(run.status())
            outcomes.extend(announcer.close(deadline - 1 - time.monotonic()))
        except Exception as error:  # a run that has ended well must not fail for its notice
            outcomes.append(Delivery(False, f"{type(error).__name__}: {error}", "anybody"))

    thread = threading.Thread(target=tell, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # this account may have no more threads
        return [Delivery(False, str(error), "anybody")]
    thread.join(LAST_NOTICE_S)
    return list(outcomes)  # which a thread that is late may still add to


class _Teller:
    """Delivers notices on one channel, one after the other, in a thread of its own."""

    def __init__(self, channel: Channel, claims: Path) -> None:
        self._channel, self._claims = channel, claims
        self._waiting: queue.SimpleQueue[tuple[float, Notice] | None] = queue.SimpleQueue()
        """What is still to be told, each with the time from which on it is; None ends it."""
        self._last: Delivery | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        """Started with the first notice, since of most runs few are told anything."""

    def tell(self, notice: Notice, hold_push_s: float) -> None:
        if notice.kinds & self._channel.kinds:
            hold_s = hold_push_s if self._channel.is_push else 0.0
            self._waiting.put((time.monotonic() + hold_s, notice))
            if self._thread.ident is None:
                self._thread.start()

    def end(self) -> None:
        self._waiting.put(None)

    def outcome(self, deadline: float) -> Delivery | None:
        """Return how the last notice fared, as soon as that is known; None if others told it."""
        if self._thread.ident is None:
            return None
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            return Delivery(False, "it does not answer in time", self._channel.label)
        return self._last

    def _work(self) -> None:
        held: list[tuple[float, Notice]] = []
        untold: list[Notice] = []
        is_open = True
        while is_open or held:
            with suppress(queue.Empty):  # time to tell what was held, or to try again
                entry = self._waiting.get(timeout=_until_due(held))
                if entry is not None:
                    held.append(entry)
                elif not held:
                    return
                is_open = is_open and entry is not None
            now = time.monotonic()
            untold += [notice for due, notice in held if due <= now]
            held = [(due, notice) for due, notice in held if due > now]
            untold = [notice for notice in untold if not self._deliver(notice)]

    def _deliver(self, notice: Notice) -> bool:
        """Tell a notice unless somebody did, and say whether that is settled now."""
        self._last = deliver_once(
            self._claims / f"{notice.name} {self._channel.id}",
            lambda: self._channel.deliver(notice.title, notice.body, notice.severity),
        )
        return self._last is None or self._last.delivered


def _until_due(held: list[tuple[float, Notice]]) -> float:
    """Return for how many seconds nothing of what is held is due."""
    return max(0.0, min([RETRY_S, *(due - time.monotonic() for due, _ in held)]))


# ---------------------------------------------------------------------------- what a notice says


def notice_of(run: RunFolder, event: Event, clock_ahead: timedelta = timedelta()) -> Notice | None:
    """Return the notice of an event in a run, or None where it is worth none or old.

    Args:
        run: The run.
        event: What happened.
        clock_ahead: How far the clock that dated it is ahead of ours.
    """
    name, age = event.id, datetime.now(UTC) + clock_ahead - event.moment
    what = event.kind.replace("_", " ")
    if event.kind == "started" and event.values.get("waited_s", 0.0) > LONG_WAIT_S:
        what = f"started after {_duration(event.values['waited_s'])} in the queue"
    elif event.kind not in ANNOUNCED:
        return None
    if event.kind == "new_best":
        period = (event.moment - run.created) // QUIET
        name = f"new_best-period-{period}"
        if period < 1 or age > QUIET:
            return None
    if age > NEWS:
        return None
    also = ["lost"] if event.kind == "resumed_by_itself" else []
    return _notice(run, name, event.kind, what, [event.message], also)


def ending_notice(
    run: RunFolder, runs: Path, status: Status, clock_ahead: timedelta = timedelta()
) -> Notice | None:
    """Return the notice of how a run ended, or None where it has not, or long ago.

    It comes from the status, which unlike an event is there however the run ended, and which knows
    its attempt: a second failure is news.

    Args:
        run: The run.
        runs: Where the project keeps its runs.
        status: How it stands.
        clock_ahead: How far the clock that dated it is ahead of ours.
    """
    if status.state not in ENDINGS:
        return None
    if status.since and datetime.now(UTC) + clock_ahead - moment_of(status.since) > NEWS:
        return None
    what = kind = ENDINGS[status.state]
    standing = _standing(run, runs)
    noteworthy = [word for begin, word in STANDINGS.items() if standing.startswith(begin)]
    if noteworthy:
        what = f"{kind}, {standing}"
    said = [status.reason, result_sentence(run.progress()), "" if noteworthy else standing]
    return _notice(run, f"{kind}-attempt-{status.attempt}", kind, what, said, noteworthy)


def _standing(run: RunFolder, runs: Path) -> str:
    """Return where a run stands; nothing where that cannot be kept, so that it stays open.

    A guest's is found where its project is, with the runs that it is compared with.
    """
    if run.is_guest():
        return ""
    try:
        return standing_sentence(run, runs)
    except OSError:  # a full disk is no reason to say nothing at all
        return ""


def _notice(
    run: RunFolder, name: str, kind: str, what: str, said: list[str], also: Iterable[str] = ()
) -> Notice:
    """Say what matters: what happened, how it stands, why it was run, how to look."""
    why = run.rationale().partition("\n")[0][:120]
    lines = [*said, f"Why: {why}" if why else "", f"Look: rlmaster show {run.short_id}"]
    return Notice(
        name,
        frozenset({kind, *also}),
        f"{run.name} {run.short_id}: {what}",
        "\n".join(line for line in lines if line),
        SEVERITIES[kind],
    )


def _duration(seconds: float) -> str:
    """Return a duration in the unit that suits it: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
