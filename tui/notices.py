"""What is worth a word while one looks at something else: runs start and end, hosts come and go.

Nothing is told that was so before the app began, and each thing once.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rlmaster.announcing import notice_of
from rlmaster.events import Event, moment_of, read_events
from rlmaster.reports.summary import metric_name
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import HAS_NOT_ENDED, RunIndex
from rlmaster.run_index.query import RunQuery
from rlmaster.run_index.row import RunRow
from rlmaster.run_status import State
from tui.children.commands import JsonObject
from tui.words.plain_text import one_line
from tui.words.wording import number

Severity = Literal["information", "warning", "error"]
SEVERITIES: Mapping[str, Severity] = {"warning": "warning", "error": "error"}
"""How Textual calls how much an event should disturb; of the rest it makes no difference."""
ENDINGS: Mapping[State, tuple[str, Severity]] = {
    State.COMPLETED: ("finished", "information"),
    State.STOPPED: ("stopped", "information"),
    State.FAILED: ("failed", "error"),
    State.LOST: ("lost", "error"),
}
MOST_AT_ONCE = 3
"""How many notices come one by one; of more, those of a kind are counted."""
LOOKS_FOR_STANDING = 3
"""How often a run that has completed is looked at before it is told without how it compares."""
LONGEST_WHY = 120
NEWEST = 50
"""How many runs are looked through for one that began and ended between two looks."""


@dataclass(frozen=True)
class Notice:
    """Something worth a word, safe to show."""

    kind: str
    """What happened, in a word or two that fit after `12 runs`."""
    title: str
    body: str
    severity: Severity = "information"


def gathered(notices: Sequence[Notice]) -> list[Notice]:
    """Count those of a kind where there are too many to be read."""
    if len(notices) <= MOST_AT_ONCE:
        return list(notices)
    counts = Counter(notice.kind for notice in notices)
    first = {notice.kind: notice for notice in reversed(notices)}
    return [
        first[kind] if count == 1 else _count(kind, count, first[kind].severity)
        for kind, count in counts.items()
    ]


def _count(kind: str, count: int, severity: Severity) -> Notice:
    return Notice(kind, f"{count} runs: {kind}", "m lists them one by one", severity)


# ----------------------------------------------------------------------------------------- runs


@dataclass
class _Watched:
    """A run that is under way, or has ended a moment ago."""

    run: RunFolder
    offsets: dict[Path, int]
    """How far each stream of its events is read."""
    looks: int = 0
    """How often it was looked at since it ended."""

    def new_events(self) -> list[Event]:
        """Return what has happened in it; what cannot be read now is read later."""
        found: list[Event] = []
        for path, offset in self.offsets.items():
            try:
                new, self.offsets[path] = read_events(path, offset)
            except (OSError, ValueError):
                continue
            found += new
        return found


class RunLookout:
    """Sees what happens in runs from its first look on; its methods belong to one thread."""

    def __init__(self, runs: Path) -> None:
        """Say whose runs; nothing is read yet."""
        self._runs = runs
        self._began: datetime | None = None
        self._watched: dict[str, _Watched] = {}
        """By path."""
        self._told: set[tuple[str, str]] = set()
        """Run and what was told of it."""

    def look(self) -> list[Notice]:
        """Return what has happened since the last look."""
        is_first = self._began is None
        began = self._began = self._began or datetime.now(UTC)
        with RunIndex(self._runs) as index:
            index.sync()
            rows = {row.path: row for row in index.rows(RunQuery(HAS_NOT_ENDED))}
            newest = () if is_first else index.rows(limit=NEWEST)
            left = [index.row(self._folder(p)) for p in self._watched if p not in rows]
        rows |= {row.path: row for row in newest if moment_of(row.created) >= began}
        rows |= {row.path: row for row in left if row is not None}
        self._watched = {path: watched for path, watched in self._watched.items() if path in rows}
        return [notice for row in rows.values() for notice in self._news_of(row, began, is_first)]

    def _news_of(self, row: RunRow, began: datetime, is_first: bool) -> Iterator[Notice]:
        if (row.path, _ending_name(row)) in self._told:
            return
        if row.path not in self._watched:
            self._watched[row.path] = self._begin(self._folder(row.path), from_end=is_first)
        watched = self._watched[row.path]
        for happened in watched.new_events():
            if happened.moment >= began:
                yield from self._event(watched.run, happened, row)
        if row.is_final:
            watched.looks += 1
            yield from self._ending(row, watched.looks)

    def _begin(self, run: RunFolder, *, from_end: bool) -> _Watched:
        """Begin to watch a run: from where its events end, or from the first."""
        streams = (run.worker_events, run.training_events)
        return _Watched(run, {path: _size(path) if from_end else 0 for path in streams})

    def _event(self, run: RunFolder, happened: Event, row: RunRow) -> Iterator[Notice]:
        try:
            notice = notice_of(run, happened)
        except (OSError, ValueError):  # deleted at this moment
            return
        if notice is None or (row.path, notice.name) in self._told:
            return
        self._told.add((row.path, notice.name))
        severity = SEVERITIES.get(notice.severity, "information")
        kind = happened.kind.replace("_", " ")
        yield Notice(kind, one_line(notice.title), _body([happened.message, _why(row)]), severity)

    def _ending(self, row: RunRow, looks: int) -> Iterator[Notice]:
        """Tell how a run ended, once it is known how it stands among others."""
        waits_for = row.state is State.COMPLETED and row.value is not None and not row.standing
        if waits_for and looks < LOOKS_FOR_STANDING:
            return
        self._told.add((row.path, _ending_name(row)))
        del self._watched[row.path]
        kind, severity = ENDINGS[row.state]
        said = [row.reason, _result(row), row.standing, _why(row)]
        yield Notice(kind, f"{one_line(row.name)} {row.short_id}: {kind}", _body(said), severity)

    def _folder(self, path: str) -> RunFolder:
        return RunFolder(self._runs / path)


def _ending_name(row: RunRow) -> str:
    return f"{row.state}-attempt-{row.attempt}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _result(row: RunRow) -> str:
    if row.value is None:
        return ""
    before = "" if row.before is None else f" (before {number(row.before)})"
    return f"{metric_name(row.metric)} {number(row.value)}{before}"


def _why(row: RunRow) -> str:
    why = one_line(row.rationale)[:LONGEST_WHY]
    return f"Why: {why}" if why else ""


def _body(said: Sequence[str]) -> str:
    """Join what is known, a line each."""
    return "\n".join(line for text in said if (line := one_line(text)))


# ---------------------------------------------------------------------------------------- hosts


class HostLookout:
    """Hears of hosts from the follower; only what changes is worth a word."""

    def __init__(self, runs: Path) -> None:
        """Say whose hosts, and that it is now."""
        self._runs = runs
        self._began = datetime.now(UTC)
        self._reachable: dict[str, bool] = {}
        self._troubles: set[str] = set()

    def hear(self, told: JsonObject) -> Notice | None:
        """Return what a line of `rlmaster watch --json` means to a person; mostly nothing."""
        host, reason = one_line(str(told.get("host", ""))), one_line(str(told.get("reason", "")))
        if told.get("kind") == "host":
            return self._seen(host, reason, reachable=told.get("reachable") is True)
        if told.get("kind") == "trouble" and reason not in self._troubles:
            self._troubles.add(reason)
            return Notice("trouble", host or "Following other computers", reason, "warning")
        return None

    def _seen(self, host: str, reason: str, *, reachable: bool) -> Notice | None:
        before = self._reachable.get(host)
        self._reachable[host] = reachable
        if before is reachable or (before is None and (reachable or self._is_old(host))):
            return None
        if reachable:
            return Notice("host", f"{host} answers again", "")
        return Notice("host", f"{host} does not answer", reason, "warning")

    def _is_old(self, host: str) -> bool:
        """Tell whether a host did not answer before the app began."""
        from rlmaster.hosts.reachability import unreachable_since

        known = unreachable_since(self._runs, host)
        return known is not None and moment_of(known.since) < self._began
