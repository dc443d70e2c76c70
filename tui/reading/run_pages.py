"""The runs of a project, a page at a time: what a list shows of those that it has room for.

Whatever happens to the index meanwhile, each look brings it up to date and answers what is asked by
then, so that a slow answer is never followed by one to an older question.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rlmaster.errors import RlmasterError, UsageError
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_index.order import RunOrder
from rlmaster.run_index.query import ALL_RUNS, parse_query
from rlmaster.run_index.row import RunRow
from rlmaster.run_status import State
from tui.words.plain_text import one_line
from tui.words.wording import duration, number, parse_time

FIRST_PAGE = 100
"""Runs that are asked for before anybody knows how many there is room for."""
TELLING_S = 0.15
"""How often a list grows before one's eyes while very many runs are read."""
RETRY_S = 60.0
"""How long an index that could not be kept in its file is kept in memory."""
BEST, WORST = "▲", "▼"
STANDINGS = (("best so far", BEST), ("worst so far", WORST))
"""How a standing begins that is worth a sign."""


@dataclass(frozen=True)
class PageRequest:
    """Which runs are wanted, in which order, and which stretch of them."""

    words: str = ""
    """The filter as it was typed."""
    order: RunOrder = RunOrder.NEWEST
    first: int = 0
    """Row of the first one."""
    count: int = FIRST_PAGE
    run: str = ""
    """Path of a run whose row is wanted too, because somebody has it under the cursor."""
    marked: frozenset[str] = frozenset()
    """Paths of runs of which is wanted whether they are still there."""


@dataclass(frozen=True)
class RunLine:
    """One run as a list shows it; every text is safe to show."""

    path: str
    """Its folder, relative to the folder of all runs; the one value that is not to be shown."""
    state: str
    phase: str
    share: float | None
    """How much is trained, 0 to 1; None where it does not train, or it is not known."""
    experiment: str
    run: str
    """Its six characters."""
    created: datetime | None
    result: str
    standing: str
    """A sign for the best and the worst so far; else empty."""
    eta: str
    host: str
    game: str
    embedder: str
    agent: str
    """Who plays, and how its encoder is trained; empty where nobody does."""
    why: str
    """First line of the rationale."""
    unreachable: str
    """Where its host does not answer: since when, in words; else empty."""


@dataclass(frozen=True)
class RunPage:
    """What was found when a request was answered."""

    request: PageRequest
    lines: tuple[RunLine, ...]
    fitting: int
    """How many runs fit the filter."""
    total: int
    row: int | None
    """Which row the request's run is; None where it is none of them."""
    gone: frozenset[str]
    """Marked runs that are no longer there."""
    problem: str
    """What is wrong with the filter; the page is then of the last good one."""
    note: str
    """Why the index cannot be used as it should, or the runs not be read; mostly empty."""
    reading: tuple[int, int] | None
    """How many of how many new runs are read, while they are; 0 of 0 before anybody knows."""


class StoppedLookingError(Exception):
    """Nobody waits for the runs any more."""


class RunPages:
    """Looks at the index for a list of runs; for one thread at a time."""

    def __init__(self, runs: Path) -> None:
        """Remember the folder of all runs; nothing is opened yet."""
        self._runs = runs
        self._in_memory: RunIndex | None = None
        self._retry_at = 0.0
        self._query = ALL_RUNS
        self._total = 0
        self._has_looked = False

    def look(
        self,
        wanted: Callable[[], PageRequest],
        take: Callable[[RunPage], None],
        cancelled: threading.Event,
    ) -> None:
        """Bring the index up to date and hand over what it holds, if that takes long also before.

        Args:
            wanted: Tells what is wanted by now.
            take: Takes each page.
            cancelled: Ends the look soon.
        """
        told_at = time.monotonic()

        def on_progress(done: int, of: int) -> None:
            nonlocal told_at
            if cancelled.is_set():
                raise StoppedLookingError
            if time.monotonic() - told_at > TELLING_S:
                take(self._page(index, wanted(), (done, of)))
                told_at = time.monotonic()

        try:
            with self._opened() as index:
                if not self._has_looked:
                    take(self._page(index, wanted(), (0, 0)))
                index.sync(on_progress)
                self._has_looked = True
                take(self._page(index, wanted()))
        except StoppedLookingError:
            pass
        except (OSError, sqlite3.Error, RlmasterError) as error:
            take(_unreadable(wanted(), one_line(str(error))))

    def paths(self, words: str) -> list[str]:
        """Return where all runs lie that fit a filter; none where it makes no sense."""
        try:
            with RunIndex(self._runs) as index:
                index.sync()
                return index.paths(parse_query(words.split(), index.config_fields))
        except (OSError, sqlite3.Error, RlmasterError):
            return []

    def close(self) -> None:
        """Let go of what is kept open."""
        if self._in_memory is not None:
            self._in_memory.__exit__(None, None, None)
            self._in_memory = None

    @contextmanager
    def _opened(self) -> Generator[RunIndex]:
        """Open the index; one that is kept in memory stays open, or all were read at each look."""
        if self._in_memory is None or time.monotonic() > self._retry_at:
            self.close()
            index = RunIndex(self._runs).__enter__()
            self._retry_at = time.monotonic() + RETRY_S
        else:
            index = self._in_memory
        try:
            yield index
        finally:
            self._in_memory = index
            if not index.note:
                self.close()

    def _page(
        self, index: RunIndex, request: PageRequest, reading: tuple[int, int] | None = None
    ) -> RunPage:
        problem = self._understand(index, request.words)
        rows = index.rows(self._query, request.count, request.first, request.order)
        total, before = index.count(), self._total
        self._total = total
        return RunPage(
            request=request,
            lines=self._lines(rows),
            fitting=index.count(self._query) if self._query != ALL_RUNS else total,
            total=total,
            row=self._row(index, request, rows),
            gone=request.marked - set(index.paths()) if total < before else frozenset(),
            problem=problem,
            note=one_line(index.note),
            reading=reading,
        )

    def _understand(self, index: RunIndex, words: str) -> str:
        """Take over a filter, unless it makes no sense: then say why, and stay with the last."""
        try:
            self._query = parse_query(words.split(), index.config_fields)
        except UsageError as error:
            return one_line(str(error))
        return ""

    def _row(self, index: RunIndex, request: PageRequest, rows: list[RunRow]) -> int | None:
        if not request.run:
            return None
        for row, there in enumerate(rows, start=request.first):
            if there.path == request.run:
                return row
        return index.position(RunFolder(self._runs / request.run), self._query, request.order)

    def _lines(self, rows: Iterable[RunRow]) -> tuple[RunLine, ...]:
        silent: dict[str, str] = {}
        lines: list[RunLine] = []
        for row in rows:
            if not row.is_final and row.host not in silent:
                silent[row.host] = _silence(self._runs, row.host)
            lines.append(line_of(row, "" if row.is_final else silent[row.host]))
        return tuple(lines)


def line_of(row: RunRow, unreachable: str = "") -> RunLine:
    """Return what a list shows of a run."""
    return RunLine(
        path=row.path,
        state=row.state,
        phase="" if row.is_final else one_line(row.phase),
        share=1.0 if row.state is State.COMPLETED else row.trained_share,
        experiment=one_line(row.name),
        run=one_line(row.short_id),
        created=parse_time(row.created),
        result="" if row.value is None else number(row.value),
        standing=next((sign for start, sign in STANDINGS if row.standing.startswith(start)), ""),
        eta=duration(row.eta_s) if row.state is State.RUNNING and row.eta_s else "",
        host=one_line(row.host),
        game=one_line(row.game),
        embedder=one_line(row.embedder),
        agent=one_line(row.who_plays),
        why=one_line(row.rationale),
        unreachable=one_line(unreachable),
    )


def _silence(runs: Path, host: str) -> str:
    """Say since when a host does not answer; nothing where it does."""
    # Here, because a project without runs under way needs nothing of hosts.
    from rlmaster.hosts.reachability import unreachable_since

    try:
        silence = unreachable_since(runs, host)
    except (OSError, ValueError):  # a name that is no file's
        return ""
    return f"{host} {silence}" if silence else ""


def _unreadable(request: PageRequest, reason: str) -> RunPage:
    note = f"the runs cannot be read ({reason}); `rlmaster doctor` may know more"
    return RunPage(request, (), 0, 0, None, frozenset(), "", note, None)
