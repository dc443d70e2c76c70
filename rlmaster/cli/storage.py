"""`rlmaster delete`, `restore`, `gc` and `du`: what takes room, and what of it goes."""

import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from rlmaster.cli.arguments import JsonOption, RunsArgument, YesOption, find_run_folder
from rlmaster.cli.indexing import QUIET_S
from rlmaster.cli.terminal import answer, answer_json, confirm, is_interactive, say
from rlmaster.errors import RlmasterError, RunFolderError, UsageError

if TYPE_CHECKING:
    from rlmaster.garbage import Garbage
    from rlmaster.run_folder import RunFolder
    from rlmaster.storage import Room, RunRoom

UNITS_S = {"h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
UNITS = ("B", "kB", "MB", "GB", "TB")
SIZE_WIDTH = len("999 MB")
SHOWN_ONE_BY_ONE = 20
"""Where a person reads, so many runs or pieces of garbage of one kind; the rest is summed up."""


# -------------------------------------------------------------------------- delete and restore


def delete_command(runs: RunsArgument, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Move runs to the trash, after saying what goes; `restore` brings them back."""
    from rlmaster.run_index import RunIndex
    from rlmaster.storage import Meter, measure_run
    from rlmaster.trash import delete, mend

    home = _runs_folder()
    mend(home)
    chosen = list({run.path: run for run in (_find_in(home, text) for text in runs)}.values())
    _refuse_unless_ended(chosen)
    meter = Meter(_SlowCount())
    rooms = [measure_run(run, meter) for run in chosen]
    children = _children(home, chosen)
    rows = [
        {**_row(room), "built_on_by": children[room.run.id], "stays": _stays(room.run)}
        for room in rooms
    ]
    for row in rows:
        say(_what_goes(row))
    ask_first(f"Move {_counted(len(rows), 'run')} to the trash?", yes)
    for room, row in zip(rooms, rows, strict=True):
        try:
            row["trash"], row["error"] = str(delete(room.run, room.size_bytes).path), None
            way_back = f"rlmaster restore {room.run.short_id}"
            say(f"run {room.run.short_id} is in the trash; {way_back} brings it back")
        except RunFolderError as error:
            row["trash"], row["error"] = None, str(error)
            say(str(error))
    with RunIndex(home) as index:
        for run in chosen:
            index.forget(run.path)
    if as_json:
        answer_json({"runs": rows})
    raise typer.Exit(int(any(row["error"] for row in rows)))


def restore_command(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A deleted run: six characters, `last`, a unique part."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Bring a deleted run back to its old place."""
    from rlmaster.run_index import RunIndex
    from rlmaster.trash import find_trashed, mend, restore

    runs = _runs_folder()
    mend(runs)
    folder = restore(find_trashed(run, runs))
    with RunIndex(runs) as index:
        index.refresh(folder)
    say(f"run {folder.short_id} is back")
    if as_json:
        answer_json({"run_id": folder.id, "name": folder.name, "run_folder": str(folder.path)})
    else:
        answer(str(folder.path))


def _find_in(runs: Path, text: str) -> "RunFolder":
    """Find a run of the present project, whose trash `restore` and `gc` look into."""
    folder, home = find_run_folder(text)
    if home.resolve() != runs.resolve():
        raise UsageError(
            f"{folder.path} is not in {runs}; change into its own project to delete it, or remove "
            "the folder yourself"
        )
    return folder


def _refuse_unless_ended(chosen: "Sequence[RunFolder]") -> None:
    """Refuse all where one cannot be deleted, before anybody is asked."""
    from rlmaster.lifecycle import look_after
    from rlmaster.trash import refuse_unless_ended

    for run in chosen:
        look_after(run)
        refuse_unless_ended(run)
        _refuse_while_a_host_must_be_told(run)


def _refuse_while_a_host_must_be_told(run: "RunFolder") -> None:
    """Refuse to forget a run that may live where it was given up.

    Raises:
        RunFolderError: If its old host has not been told to end it.
    """
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.project import Project

    placement = run.placement()
    if placement is None or not placement.left:
        return
    known = {host.name for host in read_inventory(Project.containing(run.path).hosts_file).hosts}
    if names := sorted({left.host for left in placement.left} & known):
        raise RunFolderError(
            f"run {run.short_id} may still live on {' and '.join(names)}, which must be told to "
            "end it first: `rlmaster watch` does as soon as that answers; if it is gone for good, "
            "take it out of hosts.toml"
        )


def _row(room: "RunRoom") -> dict[str, Any]:
    from rlmaster.reports.summary import result_sentence

    run = room.run
    return {
        "id": run.id,
        "short_id": run.short_id,
        "name": run.name,
        "run_folder": str(run.path),
        "state": run.status().state,
        "result": result_sentence(run.progress()),
        "bytes": room.size_bytes,
        "bytes_by_kind": room.bytes_by_kind,
    }


def _stays(run: "RunFolder") -> dict[str, str] | None:
    """Return where a run's files stay when it is deleted here: on the host that made it."""
    placement = run.elsewhere()
    return {"host": placement.host, "folder": placement.folder} if placement else None


def _children(runs: Path, chosen: "Sequence[RunFolder]") -> dict[str, list[str]]:
    """Return the runs that build on each run and do not go with it, by name and id."""
    from rlmaster.run_index import RunIndex

    going = {run.id for run in chosen}
    with RunIndex(runs) as index:
        index.sync()
        known = {run.id: index.children(run.id) for run in chosen}
    return {
        run_id: [f"{row.name}/{row.id}" for row in rows if row.id not in going]
        for run_id, rows in known.items()
    }


def _what_goes(row: Mapping[str, Any]) -> str:
    result = f": {row['result']}" if row["result"] else ""
    lines = [
        f"run {row['short_id']} of {row['name']}, {row['state']}{result}",
        f"  {readable(row['bytes'])}: {_by_kind(row['bytes_by_kind'])}",
    ]
    if stays := row["stays"]:
        lines.append(f"  what {stays['host']} has of it stays there: {stays['folder']}")
    if row["built_on_by"]:
        lines.append(f"  these runs build on it: {', '.join(row['built_on_by'])}")
    return "\n".join(lines)


# ----------------------------------------------------------------------------------------- gc


def gc_command(
    yes: YesOption = False,
    as_json: JsonOption = False,
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="How long runs stay in the trash: 12h, 30d, 4w.")
    ] = "30d",
    only_list: Annotated[bool, typer.Option("--list", help="Only list it.")] = False,
    host: Annotated[
        str | None, typer.Option(metavar="NAME", help="On a host, with runs that are here too.")
    ] = None,
    give_up_frames: Annotated[
        bool,
        typer.Option("--give-up-frames", help="There, also frames and checkpoints not here."),
    ] = False,
) -> None:
    """Remove for good what nobody needs any more, after listing it.

    That is: runs long in the trash, snapshots of code that no run needs, what writes that were cut
    left behind, and traces of runs that are gone. With --host the same there, and runs that ended
    longer ago than --older-than of which every file is here.
    """
    if host is not None:
        from rlmaster.cli.host_gc import clear_host

        code = clear_host(
            host,
            older_than,
            _seconds(older_than),
            give_up_frames=give_up_frames,
            only_list=only_list,
            yes=yes,
            as_json=as_json,
        )
        raise typer.Exit(code)
    from rlmaster.garbage import find_garbage
    from rlmaster.storage import Meter
    from rlmaster.trash import mend

    runs, older_than_s = _runs_folder(), _seconds(older_than)
    mend(runs)
    found = find_garbage(runs, older_than_s, Meter(_SlowCount()), say)
    if found:
        say("\n".join(_listed(found)))
    if only_list:
        if as_json:
            answer_json({"garbage": [_garbage_row(garbage) for garbage in found]})
        return
    if found:
        ask_first(f"Remove {readable(sum(g.size_bytes for g in found))} for good?", yes)
        listed = {garbage.path for garbage in found}
        if not yes:  # the answer may have taken an hour: what has come into use since stays
            again = find_garbage(runs, older_than_s, Meter(_SlowCount()), say)
            found = [garbage for garbage in again if garbage.path in listed]
    rows = [_remove(garbage) for garbage in found]
    freed_bytes = sum(row["bytes"] for row in rows if row["removed"])
    say(f"{readable(freed_bytes)} are free again" if found else "there is nothing to remove")
    if as_json:
        answer_json({"garbage": rows, "freed_bytes": freed_bytes})
    raise typer.Exit(int(any(row["error"] for row in rows)))


def _listed(found: "Sequence[Garbage]") -> Iterable[str]:
    shown = SHOWN_ONE_BY_ONE if sys.stderr.isatty() else len(found)
    for kind, group in groupby(found, key=lambda garbage: garbage.kind):
        largest = sorted(group, key=lambda garbage: -garbage.size_bytes)
        for garbage in largest[:shown]:
            yield f"{in_column(garbage.size_bytes)}  {kind}: {garbage.what}"
        if rest := largest[shown:]:
            size_bytes = sum(garbage.size_bytes for garbage in rest)
            yield f"{in_column(size_bytes)}  {kind}: {len(rest):,} more"


def _remove(garbage: "Garbage") -> dict[str, Any]:
    """Remove one thing; where that fails, say so and go on with the others."""
    removed, trouble = False, None
    try:
        removed = garbage.remove()
    except (RlmasterError, OSError) as error:
        trouble = str(getattr(error, "strerror", None) or error)
        say(f"{garbage.path} stays, at least in part ({trouble}); check who may write there")
    return {**_garbage_row(garbage), "removed": removed, "error": trouble}


def _garbage_row(garbage: "Garbage") -> dict[str, Any]:
    return {
        "kind": garbage.kind,
        "path": str(garbage.path),
        "bytes": garbage.size_bytes,
        "what": garbage.what,
        "removed": False,
        "error": None,
    }


def _seconds(age: str) -> float:
    matched = re.fullmatch(r"(\d{1,9})([hdw])", age)
    if not matched:
        raise UsageError(f"--older-than {age} is no age; give hours, days or weeks: 12h, 30d, 4w")
    return int(matched[1]) * UNITS_S[matched[2]]


# ----------------------------------------------------------------------------------------- du


def du_command(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="One run, by kind; all runs by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what takes room, the largest first."""
    from rlmaster.storage import Meter, measure, measure_run

    meter = Meter(_SlowCount())
    if run is not None:
        row = _row(measure_run(find_run_folder(run)[0], meter))
        lines = [_Line(size, kind) for kind, size in row["bytes_by_kind"].items()]
        lines.append(_Line(row["bytes"], row["name"], row["short_id"], row["state"]))
        data: dict[str, Any] = row
    else:
        room = measure(_runs_folder(), meter)
        data, lines = _everything(room), _lines(room)
    if meter.unreadable:
        count, first = len(meter.unreadable), meter.unreadable[0]
        say(f"{_counted(count, 'folder')} may not be read, so what is there is left out: {first}")
    if as_json:
        answer_json({**data, "unreadable": [str(path) for path in meter.unreadable]})
    else:
        _print(lines)


def _everything(room: "Room") -> dict[str, Any]:
    trash = [
        {
            "id": t.run_id,
            "short_id": t.short_id,
            "name": t.name,
            "trash": str(t.path),
            "bytes": size,
        }
        for t, size in room.trash
    ]
    return {
        "runs": [_row(one) for one in room.runs],
        "trash": trash,
        "snapshots": {"count": len(room.snapshots_bytes), "bytes": sum(room.snapshots_bytes)},
        "other_bytes": room.other_bytes,
        "bytes": room.size_bytes,
    }


class _Line(NamedTuple):
    """One line of what takes room."""

    size_bytes: int
    what: str
    run: str = ""
    state: str = ""


def _lines(room: "Room") -> list[_Line]:
    """Return a line for each run, then one for each sort of what is no run."""
    shown = SHOWN_ONE_BY_ONE if sys.stdout.isatty() else len(room.runs)
    lines = [
        _Line(
            one.size_bytes,
            f"{one.run.name}: {_by_kind(one.bytes_by_kind)}",
            one.run.short_id,
            one.run.status().state,
        )
        for one in room.runs[:shown]
    ]
    if rest := room.runs[shown:]:
        smaller = f"{_counted(len(rest), 'smaller run')}; --json lists them"
        lines.append(_Line(sum(one.size_bytes for one in rest), smaller))
    if snapshots := room.snapshots_bytes:
        lines.append(_Line(sum(snapshots), f"{_counted(len(snapshots), 'snapshot')} of code"))
    if trash := room.trash:
        deleted = f"{_counted(len(trash), 'run')} in the trash; `rlmaster gc` removes old ones"
        lines.append(_Line(sum(size for _, size in trash), deleted))
    lines.append(_Line(room.other_bytes, "everything else"))
    return [*lines, _Line(room.size_bytes, "in all")]


def _print(lines: Sequence[_Line]) -> None:
    from rlmaster.cli.layout import Column, one_line, table_lines, terminal_width

    columns = [
        Column(f"{'room':>{SIZE_WIDTH}}", [in_column(line.size_bytes) for line in lines]),
        Column("run", [line.run for line in lines]),
        Column("state", [line.state for line in lines], importance=1),
        Column("what", [one_line(line.what) for line in lines], least=20),
    ]
    for line in table_lines(columns, terminal_width(), coloured=False):
        answer(line)


# ---------------------------------------------------------------------------------- in common


class _SlowCount:
    """Says how far counting files is once that takes over a second, then ever more rarely."""

    def __init__(self) -> None:
        self._begun, self._next_s = time.monotonic(), QUIET_S

    def __call__(self, files: int) -> None:
        if time.monotonic() - self._begun > self._next_s:
            self._next_s *= 2
            say(f"counting: {files:,} files so far")


def _runs_folder() -> Path:
    from rlmaster.project import Project

    return Project.containing(Path.cwd()).runs


def ask_first(question: str, yes: bool) -> None:
    """Ask before anything is changed; end the command where nobody is there, or says no."""
    if yes:
        return
    if not is_interactive():
        raise UsageError("nobody is asked here, so nothing was changed; --yes does it unasked")
    if not confirm(question):
        say("nothing was changed")
        raise typer.Exit


def _by_kind(bytes_by_kind: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {readable(size)}" for kind, size in bytes_by_kind.items() if size)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def in_column(size_bytes: int) -> str:
    """Return a size that stands in a column of sizes."""
    return f"{readable(size_bytes):>{SIZE_WIDTH}}"


def readable(size_bytes: float) -> str:
    """Return a size with two or three digits and its unit: `512 B`, `1.4 kB`, `86 MB`."""
    power = 0
    while size_bytes >= 999.5 and power < len(UNITS) - 1:
        size_bytes, power = size_bytes / 1000, power + 1
    digits = 1 if size_bytes < 9.95 and power else 0
    return f"{size_bytes:,.{digits}f} {UNITS[power]}"
