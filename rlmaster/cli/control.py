"""`rlmaster stop`, `resume` and `branch`: what happens to a run after its launch."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.arguments import (
    JsonOption,
    RunArgument,
    RunsArgument,
    YesOption,
    find_run_folder,
)
from rlmaster.cli.grid_launch import BeginOption, decide_placing, grid_part, launch_each
from rlmaster.cli.launch import (
    FollowOption,
    HostOption,
    RationaleFileOption,
    RationaleOption,
    SetOption,
    ask_rationale,
    go_on,
    go_on_with,
    missing_rationale,
    not_torn,
    read_rationale,
)
from rlmaster.cli.terminal import INTERRUPTED, answer_json, asking_person, is_interactive, say
from rlmaster.errors import RlmasterError

if TYPE_CHECKING:
    from rlmaster.experiment_script import ScriptDescription
    from rlmaster.launcher import HostChoice
    from rlmaster.run_folder import RunFolder
    from rlmaster.run_status import Status


def stop_command(
    runs: RunsArgument,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until they have ended.")
    ] = True,
    give_up: Annotated[
        bool,
        typer.Option("--abandon", help="Give up a run whose computer cannot be asked any more."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask runs to keep their work and end, or take them out of the queue."""
    from rlmaster.cli.host_side import status_row
    from rlmaster.run_folder import RunFolder
    from rlmaster.run_status import State, Status

    folders = [find_run_folder(run)[0] for run in runs]
    code, statuses = 0, dict[RunFolder, Status]()
    for run in folders:
        try:
            with _control(run) as control:
                statuses[run] = control.abandon(run) if give_up else control.stop(run)
            _tell(run, statuses[run])
        except RlmasterError as error:
            say(str(error))
            code = error.exit_code
    for run, status in statuses.items():
        if wait and status.state is State.RUNNING:
            statuses[run] = _await_end(run)
            _tell(run, statuses[run])
    if as_json:
        answer_json({"runs": [status_row(run, status) for run, status in statuses.items()]})
    raise typer.Exit(code)


@contextmanager
def _control(run: "RunFolder", *, is_to_move: bool = False) -> Generator[Any]:
    """Give what acts on a run where it is made, and see to it that what comes of it is heard."""
    if run.is_here() and not is_to_move:
        from rlmaster import lifecycle

        yield lifecycle
        return
    from rlmaster.fleet.control import RunControl
    from rlmaster.fleet.owed import wake_watcher
    from rlmaster.project import Project

    project = Project.containing(run.path)
    try:
        yield RunControl(project, say=say, ask=asking_person())
    finally:
        wake_watcher(project.runs)


def _tell(run: "RunFolder", status: "Status") -> None:
    from rlmaster.run_status import State

    if status.state is State.RUNNING:
        say(f"run {run.short_id} is asked to keep its work and end")
    else:
        say(f"run {run.short_id} is {status.state}: {status.reason}".removesuffix(": "))


def _await_end(run: "RunFolder") -> "Status":
    """Wait until a run that was asked to end has done so; Ctrl-C leaves the request standing."""
    try:
        with _control(run) as control:
            return control.await_end(run)
    except KeyboardInterrupt:
        say(f"\nrun {run.short_id} is still asked to end; rlmaster follow {run.short_id} shows it")
        raise typer.Exit(INTERRUPTED) from None


def resume_command(
    run: RunArgument,
    host: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Where it goes on; by default where it was."),
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", hidden=True)] = None,
    follow: FollowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run that was stopped, failed or lost, from the last that it kept."""
    from rlmaster.run_status import WAITING_STATES
    from rlmaster.starting import await_start

    folder, _ = find_run_folder(run)
    if overrides:
        _refuse_changes(folder, overrides)
    is_to_move = host not in (None, _host_of(folder))
    with not_torn():
        with _control(folder, is_to_move=is_to_move) as control:
            status = control.resume(folder, host) if is_to_move else control.resume(folder)
        is_waiting = status.state in WAITING_STATES
        how = "is queued for" if is_waiting else "goes on in"  # elsewhere it may run by now
        say(f"run {folder.short_id} {how} attempt {status.attempt}")
        if folder.is_here():
            await_start(folder, _host_of(folder) or "this computer", say)
    raise typer.Exit(go_on(folder, follow=follow, as_json=as_json))


def _refuse_changes(run: "RunFolder", overrides: list[str]) -> None:
    import shlex

    from rlmaster.errors import UsageError

    settings = [word for override in overrides for word in ("--set", override)]
    command = shlex.join(["rlmaster", "branch", run.short_id, *settings])
    raise UsageError(
        f"run {run.short_id} goes on as it was launched; `{command}` makes a new run that "
        "goes on from it with other settings"
    )


def _host_of(run: "RunFolder") -> str | None:
    """Return the name of the host that a run is on; None where it is not known."""
    placement = run.placement()
    return placement.host if placement else run.host_choice().get("host")


def branch_command(  # noqa: PLR0913 - each argument is an option of the command
    run: RunArgument,
    overrides: SetOption = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="CHECKPOINT",
            help="newest, best, a folder of checkpoints/, or scratch; by default newest, or "
            "scratch where frames or networks are changed.",
        ),
    ] = None,
    rationale: RationaleOption = None,
    rationale_file: RationaleFileOption = None,
    host: HostOption = None,
    yes: YesOption = False,
    begin_at: BeginOption = 1,
    follow: FollowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new run that goes on from another one, with changes; that one stays as it is.

    A comma list such as --set seed=1,2,3 makes a run for each value.
    """
    from rlmaster.cli.branch_start import start_of_branch
    from rlmaster.earlier_runs import resolve_earlier_runs
    from rlmaster.experiment_script import Source, describe_grid
    from rlmaster.launcher import branch, keep_code
    from rlmaster.project import Project

    parent, _ = find_run_folder(run)
    project = Project.containing(parent.path)
    may_ask = is_interactive() and not yes
    reason = read_rationale(rationale, rationale_file)
    grid = describe_grid(Source(parent.config_file, "", parent.code_paths()), overrides or ())
    runs = grid_part(grid, begin_at, follow=follow)
    starts = [start_of_branch(parent, description, start) for description in runs]
    runs = [
        description
        if start.checkpoint
        else resolve_earlier_runs([description], project.runs, say)[0]
        for description, start in zip(runs, starts, strict=True)
    ]
    for sentence in dict.fromkeys(start.sentence for start in starts if start.sentence):
        say(sentence)
    if reason is None:
        reason = ask_rationale(runs[0]) if may_ask else missing_rationale()
    placing = decide_placing(project, host, runs, yes=yes, may_ask=may_ask)
    code = keep_code(project, say) if len(grid) > 1 else None

    def branch_one(description: "ScriptDescription", choice: "HostChoice") -> "RunFolder":
        return branch(
            project,
            parent,
            description,
            rationale=reason,
            host=choice,
            checkpoint=starts[runs.index(description)].checkpoint,
            snapshot=code,
            say=say,
            ask=asking_person(),
        )

    made = launch_each(runs, placing, branch_one, of=len(grid), as_json=as_json)
    raise typer.Exit(go_on_with(made, len(grid), follow=follow, as_json=as_json))
