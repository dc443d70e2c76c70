"""`rlmaster stop`, `resume` and `branch`: what happens to a run after its launch."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

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
from rlmaster.errors import RlmasterError, UsageError

if TYPE_CHECKING:
    from rlmaster.experiment_script import ScriptDescription
    from rlmaster.launcher import HostChoice
    from rlmaster.run_folder import RunFolder
    from rlmaster.run_status import Status

KEPT_WHEN_GOING_ON = ("environment", "frames", "seed")
"""What a run that goes on from another one's frames and networks cannot change."""
GIVE_SHAPE = {
    *("embedder.type", "embedder.latent_dim"),
    *("embedder.channels", "embedder.latent_normalisation"),
}
"""Fields that networks take their shape from."""
KEPT_BY_DEFAULT = (*KEPT_WHEN_GOING_ON, "embedder")
"""Where one of these is changed, a branch begins anew unless --from says otherwise."""


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
    follow: FollowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run that was stopped, failed or lost, from the last that it kept."""
    from rlmaster.run_status import WAITING_STATES
    from rlmaster.starting import await_start

    folder, _ = find_run_folder(run)
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
    from rlmaster.earlier_frames import resolve_frames
    from rlmaster.experiment_script import Source, describe_grid
    from rlmaster.launcher import branch, keep_code
    from rlmaster.project import Project

    parent, _ = find_run_folder(run)
    project = Project.containing(parent.path)
    may_ask = is_interactive() and not yes
    reason = read_rationale(rationale, rationale_file)
    grid = describe_grid(Source(parent.config_file, "", parent.code_paths()), overrides or ())
    runs = grid_part(grid, begin_at, follow=follow)
    starts = [_start_of_branch(parent, description, start) for description in runs]
    runs = [
        description if start.checkpoint else resolve_frames(description, project.runs)
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


class _Start(NamedTuple):
    """Where a branch begins."""

    checkpoint: Path | None
    """The parent's checkpoint that it goes on from; None where it begins anew."""
    sentence: str
    """What the person is told of it."""


def _start_of_branch(
    parent: "RunFolder", description: "ScriptDescription", start: str | None
) -> _Start:
    """Decide where a branch begins."""
    from rlmaster.lifecycle import look_after
    from rlmaster.run_status import FINAL_STATES

    changed_fields = _changed_fields(parent.config(), description.experiment)
    changed = {name.partition(".")[0] for name in changed_fields}
    if start == "scratch" or (start is None and changed & set(KEPT_BY_DEFAULT)):
        why = f"it begins anew, since {', '.join(sorted(changed))} is changed"
        return _Start(None, "" if start else why)
    if kept := sorted(changed & set(KEPT_WHEN_GOING_ON)):
        raise UsageError(
            f"a run that goes on from {parent.short_id} cannot change {', '.join(kept)}; "
            "--from scratch begins anew"
        )
    if (state := look_after(parent).state) not in FINAL_STATES:
        raise UsageError(
            f"run {parent.short_id} is {state}; stop it first, or begin anew with --from scratch"
        )
    if shape := sorted(changed_fields & GIVE_SHAPE):
        raise UsageError(
            f"the networks of {parent.short_id} do not fit another {', '.join(shape)}; "
            "--from scratch begins anew"
        )
    checkpoint, known = _find_checkpoint(parent, start or "newest")
    if checkpoint is None and start is not None:
        raise UsageError(
            f"run {parent.short_id} has no whole checkpoint {start!r}; there are: "
            f"{', '.join(known) or 'none'}"
        )
    updates = int(description.experiment["training"]["updates"])
    if checkpoint is not None and (done := _update_of(checkpoint)) >= updates:
        raise UsageError(
            f"run {parent.short_id} has {done:,} updates already at {checkpoint.name}, so nothing "
            f"is left of {updates:,}; ask for more (--set training.updates=...), or begin anew "
            "with --from scratch"
        )
    if checkpoint is None:
        why = f"it begins anew, since run {parent.short_id} has kept no whole checkpoint"
        return _Start(None, why)
    return _Start(checkpoint, f"it goes on from {checkpoint.name} of run {parent.short_id}")


def _find_checkpoint(parent: "RunFolder", which: str) -> tuple[Path | None, list[str]]:
    """Return a checkpoint of a run that has ended, and the names of all that it has.

    Of a run on another computer it need not be here.
    """
    if parent.is_here():
        return parent.find_checkpoint(which), [path.name for path in parent.checkpoint_folders()]
    from rlmaster.fleet.parents import ask_for_checkpoint
    from rlmaster.project import Project

    project = Project.containing(parent.path)
    kept = ask_for_checkpoint(project, parent, which, asking_person())
    return parent.checkpoints / kept.checkpoint if kept.checkpoint else None, list(kept.known)


def _update_of(checkpoint: Path) -> int:
    """Return the update that a checkpoint was made after, as its name says; 0 if it does not."""
    digits = checkpoint.name.partition("-")[2].partition(".")[0]
    return int(digits) if digits.isdecimal() else 0


def _changed_fields(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Return the fields in which two experiments differ; what is only in one is a default."""
    from rlmaster.specification import flattened

    old, new = flattened(before), flattened(after)
    return {name for name in old.keys() & new.keys() if old[name] != new[name]}
