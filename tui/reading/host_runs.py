"""Which runs a computer makes now and which wait there, with what is known of them here."""

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from textual.content import Content

from rlmaster.project import Project
from rlmaster.run_index import RunIndex
from rlmaster.run_index.query import RunQuery
from rlmaster.run_index.row import RunRow
from tui.children.answers import objects_in, text_in
from tui.children.commands import CommandError, CommandLine, JsonObject
from tui.reading.host_view import HostView
from tui.words.plain_text import one_line
from tui.words.wording import duration, share, state_colour

QUEUE_DEADLINE_S = 60.0
LIVES_THERE = "path IN (SELECT path FROM runs WHERE is_final = 0) AND host = ?"
SLOT_WIDTH = 9


@dataclass(frozen=True)
class HostRun:
    """A run on a computer; every text is safe to show."""

    run_id: str
    short_id: str
    name: str
    slot: str
    """Where it computes, or its turn in the queue."""
    state: str = ""
    words: str = ""
    """How far it is, as far as is known here."""
    path: Path | None = None
    """Its folder here, if it is one of this project's."""


@dataclass(frozen=True)
class HostRuns:
    """The runs on a computer, those that compute first."""

    host: str
    runs: tuple[HostRun, ...] = ()
    problem: str = ""
    """Why it could not be asked; the runs are then those of which it is known from before."""


def read_host_runs(
    project: Project, command: CommandLine, host: HostView, cancelled: threading.Event
) -> HostRuns:
    """Ask a computer for its runs, in a thread; what cannot be asked is taken from the index.

    Raises:
        CommandCancelledError: If nobody waits for the answer any more.
    """
    if host.measured is None:
        rows = _rows(project.runs, RunQuery(LIVES_THERE, (host.name,)))
        return HostRuns(host.name, _as_known(rows, project.runs), "as it was known last")
    there = [] if host.kind == "local" else ["--host", host.name]
    try:
        answer = command.run(["queue", *there, "--json"], cancelled, QUEUE_DEADLINE_S)
    except CommandError as error:
        rows = _rows(project.runs, _named(host.measured.runs))
        return HostRuns(host.name, _as_known(rows, project.runs), error.reason)
    found = [*_running(answer, host), *_waiting(answer)]
    rows = _rows(project.runs, _named([run.run_id for run in found]))
    known = tuple(_with_row(run, rows.get(run.run_id), project.runs) for run in found)
    return HostRuns(host.name, known)


def _as_known(rows: Mapping[str, RunRow], runs: Path) -> tuple[HostRun, ...]:
    """Return runs of which the computer itself has not said anything."""
    return tuple(_with_row(_unasked(row), row, runs) for row in rows.values())


def _running(answer: JsonObject, host: HostView) -> list[HostRun]:
    return [
        _run(row, _slot(text_in(row.get("slot")), host)) for row in objects_in(answer.get("slots"))
    ]


def _waiting(answer: JsonObject) -> list[HostRun]:
    rows = objects_in(answer.get("waiting"))
    return [_run(row, f"waits {turn}") for turn, row in enumerate(rows, start=1)]


def _run(row: JsonObject, slot: str) -> HostRun:
    return HostRun(
        text_in(row.get("run_id")), text_in(row.get("short_id")), text_in(row.get("name")), slot
    )


def _unasked(row: RunRow) -> HostRun:
    return HostRun(
        row.id, one_line(row.short_id), one_line(row.name), one_line(row.slot)[:SLOT_WIDTH]
    )


def _slot(slot: str, host: HostView) -> str:
    """Name a slot as people do: GPUs by their number instead of their UUID."""
    device, _, place = slot.rpartition(":")
    gpus = (host.measured.gpus if host.measured else None) or ()
    for number, gpu in enumerate(gpus):
        if gpu.uuid == device:
            return f"gpu {number}" + (f":{place}" if place != "0" else "")
    return slot


def _named(ids: Sequence[str]) -> RunQuery:
    marks = ", ".join("?" for _ in ids)
    return RunQuery(f"path IN (SELECT path FROM runs WHERE id IN ({marks}))", tuple(ids))


def _rows(runs: Path, query: RunQuery) -> dict[str, RunRow]:
    """Return what the index knows of runs, by their ids."""
    with suppress(OSError, sqlite3.Error), RunIndex(runs) as index:
        index.sync()
        return {row.id: row for row in index.rows(query)}
    return {}


def _with_row(run: HostRun, row: RunRow | None, runs: Path) -> HostRun:
    if row is None:
        return run
    words = [share(row.step, row.total)] if row.total else [one_line(row.phase)]
    if row.eta_s is not None and row.state == "running":
        words.append(f"ETA {duration(row.eta_s)}")
    told = "  ".join(filter(None, words))
    return HostRun(
        run.run_id, run.short_id, run.name, run.slot, row.state, told, path=runs / row.path
    )


def run_entry(run: HostRun) -> Content:
    """Say of a run where it computes and how far it is, on one line."""
    return Content.assemble(
        (f"{run.slot:<{SLOT_WIDTH}} ", "$foreground-muted"),
        (run.short_id, "bold"),
        f"  {run.name}  ",
        (f"{run.state}  " if run.state else "", state_colour(run.state)),
        (run.words, "$foreground-muted"),
    )
