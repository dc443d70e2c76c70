"""`rlmaster launch`: ask what is missing, start the run, follow it."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.terminal import answer_json, is_interactive, say
from rlmaster.errors import HostError, InventoryError, UsageError

if TYPE_CHECKING:
    from rlmaster.experiment import Experiment
    from rlmaster.experiment_script import ScriptDescription
    from rlmaster.launcher import HostChoice
    from rlmaster.project import Project
    from rlmaster.run_folder import RunFolder


def launch_command(  # noqa: PLR0913 - each argument is an option of the command
    script: Annotated[
        str,
        typer.Argument(
            help="An experiment script, or its name in experiments/.", metavar="FILE_OR_NAME"
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Change a field, such as training.updates=500."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--experiment", metavar="NAME", help="Which one, where the script has several."
        ),
    ] = None,
    rationale: Annotated[
        str | None, typer.Option(help="Why this run is made, in a few words.", metavar="TEXT")
    ] = None,
    rationale_file: Annotated[
        Path | None, typer.Option(help="A file that says why.", metavar="FILE")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Where it runs: a host of hosts.toml, or auto.", metavar="NAME"),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; the host is auto.")
    ] = False,
    follow: Annotated[
        bool | None,
        typer.Option("--follow/--detach", help="Watch until it ends; the default in a terminal."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object at the end.")
    ] = False,
) -> None:
    """Start an experiment: say why, pick a computer, watch it."""
    from rlmaster.cli.follow import INTERRUPTED, follow_to_the_end, leave_a_follower
    from rlmaster.experiment_script import describe_script
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.launcher import launch
    from rlmaster.project import Project, find_script

    path = find_script(script, Path.cwd())
    project = Project.containing(path)
    may_ask = is_interactive() and not yes
    if host not in (None, "auto"):
        read_inventory(project.hosts_file).find(host)  # before anybody writes why
    reason = _read_rationale(rationale, rationale_file)
    description = describe_script(path, overrides or (), name)
    if reason is None:
        reason = _ask_rationale(description) if may_ask else _missing_rationale()
    choice = _choose_host(project, host, yes, may_ask)
    try:
        run = launch(project, description, rationale=reason, host=choice, say=say)
    except KeyboardInterrupt:
        say("\ninterrupted; `rlmaster runs` shows whether the run had started by then")
        raise typer.Exit(INTERRUPTED) from None
    follow = sys.stderr.isatty() if follow is None else follow
    code = 0
    if follow:
        code = follow_to_the_end(run, project.runs, quiet=False)
    else:
        leave_a_follower(run)
        say(f"rlmaster follow {run.short_id} shows how it goes")
    if as_json:
        answer_json(_described(run))
    raise typer.Exit(code)


def _described(run: "RunFolder") -> dict[str, Any]:
    host = run.provenance()["host_choice"]["host"]
    return {
        "run_id": run.id,
        "run_folder": str(run.path),
        "host": host,
        "state": run.status().state,
    }


def _read_rationale(text: str | None, file: Path | None) -> str | None:
    """Return the rationale that was given, or None where none was."""
    if text is not None and file is not None:
        raise UsageError("give --rationale or --rationale-file, not both")
    if file is not None:
        try:
            words = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
            text = words.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the rationale in {file} cannot be read ({error})") from None
    if text is not None and not text.strip():
        raise UsageError("the rationale is empty; say in a few words why this run is made")
    return text


def _missing_rationale() -> str:
    raise UsageError(
        'nobody is asked here; say why the run is made: --rationale "..." or --rationale-file FILE'
    )


def _ask_rationale(description: "ScriptDescription") -> str:
    """Ask for the reason until there is one; an empty line opens the editor."""
    say(f"\n{description.experiment['name']}: {description.title}")
    while True:
        text: str = typer.prompt(
            "Why this run? (Enter alone opens your editor)",
            default="",
            show_default=False,
            err=True,
        )
        if not text.strip():
            text = _edit()
        if text.strip():
            return text
        say("A run without a reason cannot be understood next month; a few words are enough.")


def _edit() -> str:
    """Let the person write in their editor."""
    with tempfile.NamedTemporaryFile("r", suffix=".md", prefix="rationale-") as file:
        try:
            editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
            subprocess.run([*editor, file.name], check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            say(f"the editor could not be used ({error}); write the reason here instead")
        return Path(file.name).read_text(errors="replace")


def _choose_host(project: "Project", name: str | None, yes: bool, may_ask: bool) -> "HostChoice":
    from rlmaster.cli.hosts import choose_host, describe, rank_hosts

    if name is None and yes:
        name = "auto"
    if name is not None:
        return choose_host(project, name)
    if not may_ask:
        raise UsageError(
            "nobody is asked here, so say where it runs: --host NAME, --host auto or --yes"
        )
    ranking = rank_hosts(project)
    say(f"\n  auto: the best of these, now {ranking[0].host}")
    for ranked in ranking:
        say(f"  {describe(ranked)}")
    while True:
        wanted: str = typer.prompt("Where does it run?", default="auto", err=True)
        try:
            return choose_host(project, wanted, ranking)
        except (InventoryError, HostError) as error:
            say(str(error))


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
    from rlmaster.cli.follow import leave_a_follower
    from rlmaster.cli.hosts import choose_host
    from rlmaster.experiment_script import describe_experiment
    from rlmaster.launcher import launch
    from rlmaster.project import Project

    home = Project.containing(Path(project))
    run = launch(
        home,
        describe_experiment(experiment),
        rationale=rationale,
        host=choose_host(home, host),
        say=say,
    )
    leave_a_follower(run)
    return run
