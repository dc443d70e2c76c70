"""`rlmaster runs`: the list of runs, filtered, as wide as the terminal."""

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.arguments import JsonOption
from rlmaster.cli.terminal import answer, answer_json, say
from rlmaster.errors import HostError, UsageError, near_match

if TYPE_CHECKING:
    from rlmaster.cli.layout import Column
    from rlmaster.run_folder import RunFolder
    from rlmaster.run_index import RunIndex
    from rlmaster.run_index.order import RunOrder
    from rlmaster.run_index.row import RunRow

STATE_COLOURS = {
    "prepared": "grey",
    "queued": "cyan",
    "running": "blue",
    "completed": "green",
    "failed": "red",
    "stopped": "yellow",
    "lost": "red",
}
MARKS = {"best so far": "▲ best", "worst so far": "▼ worst"}
"""How a standing sentence begins that is worth a mark in the list."""
AGES_S = (("y", 31_557_600), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
NOW = "now"
"""The age of what is not a second old."""
WIDE = 100
"""Terminal cells from which on there is room for words that a sign can stand for."""
LEAST_SHOWN = 10
"""Runs that even a low terminal is given."""
LINES_AROUND = 4
"""Lines of a terminal that the titles, the last word and the next prompt take."""
NOT_LISTED = frozenset({"path", "yardstick", "config_json"})
"""Fields of a row that are left out of the JSON list; `show --json` has the configuration."""


def runs_command(
    filters: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILTER",
            help="Words, and key:value such as state:failed, since:7d, standing:best, tag:ball, "
            "agent:doubledqn, style:frozen, or any field of an experiment: "
            "'embedder.latent_dim:>64'.",
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            metavar="ORDER",
            help="What comes first: newest, oldest, experiment, state, progress, result (the best "
            "of each metric), changed, eta, host, game, embedder or agent.",
        ),
    ] = "newest",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The first N of them.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All of them, however long the list is.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the runs, newest first: as many as fit the screen, or all where there is none."""
    from rlmaster.cli.indexing import synced_index
    from rlmaster.project import Project
    from rlmaster.run_index.query import parse_query

    if everything and limit is not None:
        raise UsageError("give --all or --limit, not both")
    order = _order(sort)
    runs = Project.containing(Path.cwd()).runs
    if limit is None and not everything and not as_json and sys.stdout.isatty():
        limit = max(LEAST_SHOWN, shutil.get_terminal_size().lines - LINES_AROUND)
    with synced_index(runs) as index:
        mark_what_is_lost(index)
        silent = silent_hosts(index.active(), runs)
        query = parse_query(filters or (), index.config_fields)
        rows = index.rows(query, limit, order=order)
        count = len(rows) if limit is None or len(rows) < limit else index.count(query)
        is_empty = not rows and not index.rows(limit=1)
    if as_json:
        listed = [row_data(row, runs) for row in rows]
        answer_json({"runs": listed, "count": count, "unreachable": silent})
    elif is_empty:
        answer("no runs yet; `rlmaster launch` makes one")
    elif not rows:
        say("no run fits; `rlmaster runs` lists them all")
    else:
        _print(rows, count, filters or ())
        for host in silent:
            say(f"{host['told']}; runs there may be further than they look")


def _order(word: str) -> "RunOrder":
    from rlmaster.run_index.order import RunOrder

    if word not in list(RunOrder):
        hint = near_match(word, RunOrder) or f"; there are {', '.join(RunOrder)}"
        raise UsageError(f"runs have no order {word!r}{hint}")
    return RunOrder(word)


def silent_hosts(active: "Sequence[RunFolder]", runs: Path) -> list[dict[str, str]]:
    """Return the hosts from which nothing comes of runs that live there, with since when and why.

    Whoever looks also sees to it that some process follows such runs.

    Args:
        active: Runs that have not ended, as far as is known here.
        runs: Where the project keeps its runs.
    """
    from rlmaster.fleet.owed import owe_if_elsewhere, wake_watcher
    from rlmaster.hosts.reachability import unreachable_since

    hosts: set[str] = set()
    for run in active:
        with suppress(OSError):  # deleted at this moment, or not ours to write
            if owe_if_elsewhere(run) and (placement := run.placement()):
                hosts.add(placement.host)
    with suppress(HostError):  # who cannot start a process can still read
        wake_watcher(runs)
    known = {host: unreachable_since(runs, host) for host in sorted(hosts)}
    return [
        {"host": host, "since": found.since, "reason": found.reason, "told": f"{host} {found}"}
        for host, found in known.items()
        if found
    ]


def mark_what_is_lost(index: "RunIndex") -> None:
    """See to it that a run nobody works on any more is not said to be running."""
    active = index.active()
    if not active:
        return
    from rlmaster.hosts.queue import Queue
    from rlmaster.lifecycle import look_after

    waiting = {ticket.run_id for ticket in Queue.here().waiting()}
    for run in active:
        try:
            status = look_after(run, waiting)
        except OSError:  # deleted at this moment, or not ours to read: it stays as it is known
            continue
        known = index.row(run)
        if known is not None and status.state is not known.state:
            index.refresh(run, status)


def row_data(row: "RunRow", runs: Path) -> dict[str, Any]:
    """Return a row as JSON data."""
    data = {name: value for name, value in row._asdict().items() if name not in NOT_LISTED}
    folder = os.fsencode(runs / row.path).decode(errors="replace")
    return {**data, "run_folder": folder, "progress": row.trained_share}


# --------------------------------------------------------------------------------- for people


def _print(rows: "Sequence[RunRow]", count: int, filters: Sequence[str]) -> None:
    from rlmaster.cli.layout import is_coloured, table_lines, terminal_width

    width = terminal_width()
    columns = _columns(rows, in_short=width is not None and width < WIDE)
    for line in table_lines(columns, width, coloured=is_coloured()):
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    if count > len(rows):
        more = f"{count - len(rows):,} more" + (" that fit" if filters else "")
        say(f"{more}; --all lists them, --limit N the first N, filters such as since:7d fewer")


def _columns(rows: "Sequence[RunRow]", *, in_short: bool) -> "list[Column]":
    """Return what is shown of runs: agents only where any plays, hosts where there are several."""
    from rlmaster.cli.layout import Column, one_line

    now = datetime.now(UTC)
    hosts = [one_line(row.host) for row in rows]
    agents = [one_line(row.who_plays) for row in rows]
    columns = [
        Column("run", [one_line(row.short_id) for row in rows]),
        Column(
            "state",
            [one_line(state_words(row)) for row in rows],
            colours=[STATE_COLOURS[row.state] for row in rows],
        ),
        Column("experiment", [one_line(row.name) for row in rows], least=10, importance=1),
        Column("result", [_result(row, in_short) for row in rows], importance=2),
        Column("agent", agents, importance=6),
        Column("age", [age(row.created, now) for row in rows], importance=4),
        Column("host", hosts, importance=5),
        Column("why", [one_line(row.rationale.partition("\n")[0]) for row in rows], 16, 3),
    ]
    needless = {"host"} if len({*hosts} - {""}) < 2 else set[str]()
    needless |= set() if any(agents) else {"agent"}
    return [column for column in columns if column.title not in needless]


def state_words(row: "RunRow") -> str:
    """Return the state and, of a run under way, how much is trained or what it does instead."""
    if row.is_final:
        return row.state
    if row.trained_share is not None:
        return f"{row.state} {row.trained_share:.0%}"
    phase = row.phase if row.state == "running" else ""
    return f"{row.state} {phase}".rstrip()


def _result(row: "RunRow", in_short: bool) -> str:
    """Return the result, marked where the run was the best or the worst so far."""
    from rlmaster.reports.summary import rounded

    words = "" if row.value is None else rounded(row.value)
    mark = next((mark for start, mark in MARKS.items() if row.standing.startswith(start)), "")
    return f"{words} {mark[:1] if in_short else mark}".strip()


def age(moment: str, now: datetime) -> str:
    """Return how long ago something was, such as `3m` or `12d`; nothing where it is not known."""
    try:
        seconds = (now - datetime.fromisoformat(moment)).total_seconds()
    except (TypeError, ValueError):
        return ""
    return next((f"{seconds // size:.0f}{unit}" for unit, size in AGES_S if seconds >= size), NOW)
