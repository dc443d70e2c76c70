"""`rlmaster follow` and `rlmaster report`: watch a run, and make what is made of it afterwards."""

import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlmaster.cli.arguments import JsonOption, RunArgument, find_run_folder
from rlmaster.cli.terminal import INTERRUPTED, answer, answer_json, interrupts_held, say

if TYPE_CHECKING:
    from rlmaster.announcing import Announcer, Unheard
    from rlmaster.follower import Ending
    from rlmaster.run_folder import RunFolder
    from rlmaster.run_status import Status

PATIENCE_S = 60.0
"""How long a follower of the next attempt waits for the one before to make its report."""
LAST_LINES = 15
"""How much of the log is shown of a run that failed."""


def follow_command(
    run: RunArgument = "last",
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Show nothing until it has ended.")
    ] = False,
) -> None:
    """Watch a run until it ends, then make its report. Ctrl-C stops watching, not the run."""
    folder, runs = find_run_folder(run)
    if quiet and folder.is_here():
        with alone(runs, folder.id) as is_alone:
            raise typer.Exit(follow_to_the_end(folder, runs, quiet=True) if is_alone else 0)
    raise typer.Exit(follow_to_the_end(folder, runs, quiet=quiet))


def report_command(
    run: RunArgument = "last",
    as_json: JsonOption = False,
) -> None:
    """Make a run's plots and report from what it has so far."""
    from rlmaster.follower import finish

    folder, runs = find_run_folder(run)
    say("making the report")
    ending = finish(folder, runs)
    if as_json:
        files = {"tex": ending.tex, "pdf": ending.pdf}
        answer_json({**{k: str(v) if v else None for k, v in files.items()}, "note": ending.note})
    else:
        say(ending.note or "the report is made")
        answer(str(ending.pdf or ending.tex or ""))
    raise typer.Exit(0 if ending.tex else 1)


def follow_to_the_end(run: "RunFolder", runs: Path, *, quiet: bool) -> int:
    """Watch a run, announce what happens, make its report, and return the exit code.

    Args:
        run: The run.
        runs: Where the project keeps its runs.
        quiet: Whether nothing is shown until the run has ended.
    """
    status = run.status()
    try:  # imports included: they take a moment in which somebody may press Ctrl-C
        with interrupts_held():
            if not quiet and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
                signal.signal(signal.SIGHUP, signal.default_int_handler)  # a closed window: Ctrl-C

            from rlmaster.cli.progress import shown
            from rlmaster.follower import Follower
            from rlmaster.run_status import State

        with _told(run, runs, quiet=quiet) as told:
            with shown(run, quiet=quiet) as show:
                for update in Follower(run).updates():
                    status = update.status
                    show(update)
                    told.tell(update.events)
            if not run.exists():
                say(
                    f"the folder of run {run.short_id} is gone; `rlmaster runs` lists what there is"
                )
                return 1
            ending = _written_up(run, runs, quiet=quiet)
            told.tell_ending(status)
            if ending is not None:
                _sum_up(run, status, ending)
            for delivery in told.close():
                say(str(delivery))
    except KeyboardInterrupt:
        return INTERRUPTED if quiet else stop_watching(run)
    return 0 if status.state is State.COMPLETED else 1


@contextmanager
def _told(run: "RunFolder", runs: Path, *, quiet: bool) -> "Generator[Announcer | Unheard]":
    """Give what tells people of a run; of one that is made elsewhere, those who mirror it tell."""
    with interrupts_held():
        from rlmaster.announcing import Announcer, Unheard
        from rlmaster.cli.watch import watched_beside

    if run.is_here():
        yield Announcer(run, runs)
        return

    with watched_beside(run, runs, quiet=quiet):
        yield Unheard()


def _written_up(run: "RunFolder", runs: Path, *, quiet: bool) -> "Ending | None":
    """Make the report of a run; that of a guest is made where its project is."""
    with interrupts_held():
        from rlmaster.follower import finish

    if run.is_guest():
        return None
    if not quiet:
        say("making the report")
    return finish(run, runs, anew=False)


def stop_watching(run: "RunFolder") -> int:
    """Leave a run to a follower that shows nothing, say that it goes on, return the exit code."""
    from rlmaster.hosts.local import start_follower
    from rlmaster.run_status import WAITING_STATES

    # One that waits gets its follower as it starts, and one elsewhere has its watcher.
    if run.is_here() and run.status().state not in WAITING_STATES:
        start_follower(run.path)
    with suppress(OSError):  # the terminal may be gone
        say(f"\nrun {run.short_id} goes on; rlmaster follow {run.short_id} shows it again")
    return INTERRUPTED


@contextmanager
def alone(runs: Path, run_id: str) -> Generator[bool]:
    """Tell whether no other quiet follower of a run lives; one that is at its end is waited for."""
    from rlmaster.run_lock import HostLock

    folder = runs / ".state" / "followers"
    folder.mkdir(parents=True, exist_ok=True)
    with HostLock(folder / f"{run_id}.lock") as lock:
        yield lock.take_within(PATIENCE_S)


def _sum_up(run: "RunFolder", status: "Status", ending: "Ending") -> None:
    """Say what came out, and where everything is."""
    from rlmaster.reports.summary import result_sentence
    from rlmaster.run_status import State

    if status.state is State.COMPLETED:
        say(result_sentence(run.progress()))
        say(f"Standing: {ending.standing}" if ending.standing else "")
    else:
        verb = "was lost" if status.state is State.LOST else str(status.state)
        say(f"the run {verb}: {status.reason}")
        say("\n".join(f"  | {line}" for line in run.last_log_lines(LAST_LINES)))
    previews = run.preview_files()
    made = {
        "run folder": run.path,
        "report": ending.pdf or ending.tex,
        "video": ending.video,
        "preview": previews[-1] if previews else None,
    }
    for name, path in made.items():
        if path is not None:
            say(f"{name:>10}  {path}")
    if ending.note:
        say(ending.note)
