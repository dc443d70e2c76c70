"""`rlmaster launch`: ask what is missing, start the run, follow it."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.arguments import JsonOption, complete_experiment
from rlmaster.cli.editing import edited, given_text
from rlmaster.cli.grid_launch import (
    BeginOption,
    decide_placing,
    end_of_grid,
    grid_part,
    launch_each,
    run_row,
)
from rlmaster.cli.terminal import (
    INTERRUPTED,
    answer_json,
    ask,
    asking_person,
    is_interactive,
    say,
)
from rlmaster.errors import UsageError

if TYPE_CHECKING:
    from rlmaster.experiment import Experiment
    from rlmaster.experiment_script import ScriptDescription
    from rlmaster.launcher import HostChoice
    from rlmaster.run_folder import RunFolder

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change a field, such as training.updates=500; seed=1,2,3 makes three runs.",
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option("--experiment", metavar="NAME", help="Which one, where the script has several."),
]
RationaleOption = Annotated[
    str | None, typer.Option(help="Why this run is made, in a few words.", metavar="TEXT")
]
RationaleFileOption = Annotated[
    Path | None, typer.Option(help="A file that says why.", metavar="FILE")
]
HostOption = Annotated[
    str | None, typer.Option(help="Where it runs: a host of hosts.toml, or auto.", metavar="NAME")
]
FollowOption = Annotated[
    bool | None,
    typer.Option("--follow/--detach", help="Watch until it ends; the default in a terminal."),
]


def launch_command(  # noqa: PLR0913 - each argument is an option of the command
    script: Annotated[
        str,
        typer.Argument(
            help="An experiment script, or its name in experiments/.",
            metavar="FILE_OR_NAME",
            autocompletion=complete_experiment,
        ),
    ],
    overrides: SetOption = None,
    name: NameOption = None,
    rationale: RationaleOption = None,
    rationale_file: RationaleFileOption = None,
    host: HostOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; the host is auto.")
    ] = False,
    begin_at: BeginOption = 1,
    follow: FollowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start an experiment: say why, pick a computer, watch it.

    A comma list such as --set seed=1,2,3 launches a run for each value, several lists one for each
    combination; a value that has commas itself is put in quotes.
    """
    from rlmaster.earlier_runs import resolve_earlier_runs
    from rlmaster.experiment_script import Source, describe_grid
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.launcher import keep_code, launch
    from rlmaster.project import Project, find_script

    path = find_script(script, Path.cwd())
    project = Project.containing(path)
    may_ask = is_interactive() and not yes
    if host not in (None, "auto"):
        read_inventory(project.hosts_file).find(host)  # before anybody writes why
    reason = read_rationale(rationale, rationale_file)
    grid = describe_grid(Source(path, name or ""), overrides or ())
    part = grid_part(grid, begin_at, follow=follow)
    runs = resolve_earlier_runs(part, project.runs, say)
    if reason is None:
        reason = ask_rationale(runs[0]) if may_ask else missing_rationale()
    placing = decide_placing(project, host, runs, yes=yes, may_ask=may_ask)
    code = keep_code(project, say) if len(grid) > 1 else None

    def launch_one(description: "ScriptDescription", choice: "HostChoice") -> "RunFolder":
        return launch(
            project,
            description,
            rationale=reason,
            host=choice,
            snapshot=code,
            say=say,
            ask=asking_person(),
        )

    made = launch_each(runs, placing, launch_one, of=len(grid), as_json=as_json)
    raise typer.Exit(go_on_with(made, len(grid), follow=follow, as_json=as_json))


def go_on_with(made: "list[RunFolder]", of: int, *, follow: bool | None, as_json: bool) -> int:
    """Say how to see what was launched, or follow it where it is one run; return the exit code."""
    if of == 1:
        return go_on(made[0], follow=follow, as_json=as_json)
    end_of_grid(made, as_json=as_json)
    return 0


@contextmanager
def not_torn() -> Generator[None]:
    """Say after a Ctrl-C during a launch that what had been done by then stands."""
    try:
        yield
    except KeyboardInterrupt:
        say("\ninterrupted; `rlmaster runs` shows whether the run had been queued by then")
        raise typer.Exit(INTERRUPTED) from None


def go_on(run: "RunFolder", *, follow: bool | None, as_json: bool) -> int:
    """Follow a run that was queued, or say how to; return the exit code.

    Args:
        run: The run.
        follow: Whether to watch it until it ends; None where a terminal is there to show it.
        as_json: Whether to print one JSON object at the end.
    """
    from rlmaster.cli.follow import follow_to_the_end, stop_watching

    code = 0
    try:
        if sys.stderr.isatty() if follow is None else follow:
            code = follow_to_the_end(run, run.path.parent.parent, quiet=False)
        else:
            say(f"rlmaster follow {run.short_id} shows how it goes")
    except KeyboardInterrupt:  # before the watching had begun
        code = stop_watching(run)
    if as_json:
        answer_json({**run_row(run), "runs": [run_row(run)]})
    return code


def read_rationale(text: str | None, file: Path | None) -> str | None:
    """Return the rationale that was given, or None where none was.

    Raises:
        UsageError: If it is empty, given twice, or cannot be read.
    """
    options = ("--rationale", "--rationale-file")
    text = given_text(text, file, what="rationale", options=options)
    if text is not None and not text.strip():
        raise UsageError("the rationale is empty; say in a few words why this run is made")
    return text


def missing_rationale() -> str:
    """Refuse to launch without a reason."""
    raise UsageError(
        'nobody is asked here; say why the run is made: --rationale "..." or --rationale-file FILE'
    )


def ask_rationale(description: "ScriptDescription") -> str:
    """Ask for the reason until there is one; an empty line opens the editor."""
    say(f"\n{description.experiment['name']}: {description.title}")
    while True:
        text = ask("Why this run? (Enter alone opens your editor)", default="")
        if not text.strip():
            text = _edit()
        if text.strip():
            return text
        say("A run without a reason cannot be understood next month; a few words are enough.")


def _edit() -> str:
    """Let the person write in their editor."""
    try:
        with edited("", what="rationale") as text:
            return text
    except UsageError as error:
        say(f"{error}, or write the reason here instead")
        return ""


def launch(experiment: "Experiment", **options: Any) -> "RunFolder | None":
    """Launch an experiment from its own script, or from a notebook.

    In a script it takes the script's command line, exactly as `rlmaster launch SCRIPT` does; the
    experiment must have a name there, since the script is read once more for the launch. With
    options it starts the run with them and returns its folder at once.

    Args:
        experiment: What to run.
        options: `rationale` (text); if wanted also `host` (a name, else `auto`) and `project` (a
            folder, else the present one).

    Raises:
        UsageError: If the rationale is missing or empty.
    """
    if options:
        return _launch_from_notebook(experiment, **options)
    script = sys.modules["__main__"]
    file = getattr(script, "__file__", None)
    if file is None:
        raise UsageError('say why the run is made: launch(experiment, rationale="...")')
    names = [name for name, value in vars(script).items() if value is experiment]
    if not names:
        raise UsageError(
            "the experiment that is launched needs a name in its script, such as "
            "`experiment = Experiment(...)`"
        )
    from rlmaster.cli import main

    options_given = sys.argv[1:]
    sys.argv = ["rlmaster", "launch", str(file), "--experiment", names[0], *options_given]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        sys.argv = [str(file), *options_given]
    return None


def _launch_from_notebook(
    experiment: "Experiment", *, rationale: str, host: str = "auto", project: str | Path = "."
) -> "RunFolder":
    from rlmaster.cli.hosts import choose_host
    from rlmaster.experiment_script import describe_experiment
    from rlmaster.launcher import launch
    from rlmaster.project import Project
    from rlmaster.room import Room

    home = Project.containing(Path(project))
    return launch(
        home,
        describe_experiment(experiment),
        rationale=rationale,
        host=choose_host(
            home, host, requirements=experiment.requires, room=Room.of(experiment.to_data())
        ),
        say=say,
        ask=asking_person(),
    )
