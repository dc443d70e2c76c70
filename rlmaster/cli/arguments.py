"""Arguments that several commands share, what they stand for, and how the shell completes them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlmaster.cli.terminal import plain
from rlmaster.errors import ProjectError, RlmasterError, UsageError

if TYPE_CHECKING:
    from rlmaster.run_folder import RunFolder

LAST = "last"
"""What stands for the newest run."""
MOST_COMPLETIONS = 50
"""Newest runs that the shell offers."""

Completions = list[tuple[str, str]]
"""Words, each with what helps to choose it; a shell that shows no help leaves that out."""


def complete_run(incomplete: str) -> Completions:
    """Return `last` and the newest runs whose six characters begin so, as the index knows them.

    Nothing is read anew and nothing is said: a shell waits, and has no place for a sentence.
    """
    import sqlite3

    from rlmaster.project import Project
    from rlmaster.run_index import RunIndex
    from rlmaster.run_index.query import RunQuery

    begins = RunQuery("substr(short_id, 1, ?) = ?", (len(incomplete), incomplete))
    try:
        with RunIndex(Project.containing(Path.cwd()).runs) as index:
            rows = index.rows(begins, MOST_COMPLETIONS)
    except (RlmasterError, OSError, ValueError, sqlite3.Error):
        return []
    # A folder that somebody named by hand may hold anything, and this goes to a shell.
    runs = [(row.short_id, plain(row.name)) for row in rows if row.short_id.isalnum()]
    return [(LAST, "the newest run"), *runs] if LAST.startswith(incomplete) else runs


def complete_experiment(incomplete: str) -> Completions:
    """Return the names of the project's experiment scripts that begin so."""
    from rlmaster.project import Project

    try:
        scripts = Project.containing(Path.cwd()).scripts()
    except (RlmasterError, OSError):
        return []
    return [(path.stem, "") for path in scripts if path.stem.startswith(incomplete)]


RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Six characters, a path, `last`, or a unique part.",
        autocompletion=complete_run,
    ),
]
RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN",
        help="Six characters, paths, or unique parts.",
        autocompletion=complete_run,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


def find_run_folder(run: str) -> "tuple[RunFolder, Path]":
    """Return the run that an argument stands for, and the folder of all runs it lies in.

    Raises:
        ProjectError: If no run is called that, or several are.
    """
    from rlmaster.cli.indexing import synced_index
    from rlmaster.project import Project
    from rlmaster.run_index import run_at

    if folder := run_at(run):
        return folder, folder.path.parent.parent
    runs = Project.containing(Path.cwd()).runs
    try:
        with synced_index(runs) as index:
            return index.find(run), runs
    except ProjectError as error:
        raise ProjectError(f"{error}{_way_back(run, runs)}") from None


def require_checkpoint(run: "RunFolder", which: str) -> None:
    """Refuse a checkpoint that a run does not have; whether it is whole is seen when it is read.

    Args:
        run: Whose.
        which: `newest`, `best`, or the name of a folder in `checkpoints/`.

    Raises:
        UsageError: If there is none, with those that there are.
    """
    kept = [path.name for path in run.checkpoint_folders()]
    has_best = (run.checkpoints / "best.json").is_file()
    if which in (*kept, *["newest"] * bool(kept), *["best"] * has_best):
        return
    what = "no checkpoint yet" if which == "newest" else f"no checkpoint {which!r}"
    elsewhere = None if kept else run.elsewhere()
    raise UsageError(
        f"run {run.short_id} has {what}; there are: {', '.join(kept) or 'none yet'}"
        if elsewhere is None
        else f"run {run.short_id} has {what} here; `rlmaster pull --all {run.short_id}` brings "
        f"what it has kept from {elsewhere.host}"
    )


def require_replay(run: "RunFolder") -> None:
    """Refuse a run that keeps frames and has none; one that trains an agent plays anew.

    Args:
        run: Whose.

    Raises:
        UsageError: If there are none here.
    """
    if run.config().get("agent") or (run.replay / "manifest.json").is_file():
        return
    elsewhere = run.elsewhere()
    raise UsageError(
        f"run {run.short_id} has no frames: it has not finished collecting them, or they are gone "
        f"from {run.replay}; name another run"
        if elsewhere is None
        else f"run {run.short_id} has no frames here; `rlmaster pull --replay {run.short_id}` "
        f"brings them from {elsewhere.host}"
    )


def _way_back(run: str, runs: Path) -> str:
    """Return a clause that says how a deleted run comes back; nothing where none is called that."""
    from rlmaster.trash import trashed_runs

    for trashed in trashed_runs(runs):
        if run in (trashed.short_id, trashed.run_id):
            return f"; {run} is in the trash: `rlmaster restore {run}` brings it back"
    return ""
