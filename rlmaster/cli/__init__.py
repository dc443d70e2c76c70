"""The command line: one thin function a command, each importing what it needs."""

import sys
from contextlib import suppress
from pathlib import Path

import typer

from rlmaster.cli import (
    adopt,
    compare,
    control,
    doctor,
    experiments,
    export,
    follow,
    host_check,
    host_setup,
    host_side,
    hosts,
    launch,
    notes,
    notify,
    pull,
    queue,
    reading,
    render,
    runs,
    show,
    storage,
    tensorboard,
    watch,
)
from rlmaster.cli.terminal import say
from rlmaster.errors import RlmasterError

app = typer.Typer(
    name="rlmaster",
    help="Experiments on representations for reinforcement learning, from the idea to the report.",
    no_args_is_help=False,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes around the help would double the time it takes to appear
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("launch")(launch.launch_command)
app.command("follow")(follow.follow_command)
app.command("watch")(watch.watch_command)
app.command("pull")(pull.pull_command)
app.command("stop")(control.stop_command)
app.command("resume")(control.resume_command)
app.command("branch")(control.branch_command)
app.add_typer(queue.queue_app, name="queue")
app.command("report")(follow.report_command)
app.command("conclude")(notes.conclude_command)
app.command("tag")(notes.tag_command)
app.command("runs")(runs.runs_command)
app.command("show")(show.show_command)
app.command("compare")(compare.compare_command)
app.command("experiments")(experiments.experiments_command)
app.add_typer(hosts.hosts_app, name="hosts")
hosts.hosts_app.command("setup")(host_setup.setup_command)
hosts.hosts_app.command("test")(host_check.check_command)
app.command("doctor")(doctor.doctor_command)
app.command("tensorboard")(tensorboard.tensorboard_command)
app.command("frames")(reading.frames_command)
app.command("render")(render.render_command)
app.command("export")(export.export_command)
app.command("delete")(storage.delete_command)
app.command("restore")(storage.restore_command)
app.command("gc")(storage.gc_command)
app.command("du")(storage.du_command)
app.command("look-after", hidden=True)(host_side.look_after_command)
app.command("discard", hidden=True)(host_side.discard_command)
app.command("release", hidden=True)(host_side.release_command)
app.command("adopt", hidden=True)(adopt.adopt_command)
app.command("kept", hidden=True)(adopt.kept_command)
app.add_typer(notify.notify_app, name="notify")


@app.callback(invoke_without_command=True)
def open_app(context: typer.Context) -> None:
    """Without a command, open the full-screen app."""
    if context.invoked_subcommand is not None:
        return
    from rlmaster.project import Project

    project = Project.containing(Path.cwd())
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        say("the app needs a terminal; `rlmaster --help` lists the commands")
        raise typer.Exit(2)
    from rlmaster.fleet.owed import wake_watcher
    from tui.app import run

    with suppress(RlmasterError):  # who cannot start a process can still read
        wake_watcher(project.runs)
    raise typer.Exit(run(project))


def main() -> None:
    """Run the command line; an error of ours is one sentence and its exit code."""
    try:
        app(prog_name="rlmaster")
    except RlmasterError as error:
        say(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be read
        say(f"{error.filename or 'the computer'}: {error.strerror or error}")
        sys.exit(1)
