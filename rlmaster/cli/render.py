"""`rlmaster render`: film what a run's networks make of the game, for people to look at."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.arguments import JsonOption, RunArgument, find_run_folder
from rlmaster.cli.terminal import INTERRUPTED, answer, answer_json, say
from rlmaster.errors import UsageError

if TYPE_CHECKING:
    from rlmaster.follower import Update
    from rlmaster.run_folder import RunFolder

MADE = ("strip", "video", "best", "median")
"""What the child may have made: of a stored episode the first two, of an agent the others."""
LAST_CHANCE_S = 10.0
"""How long an interrupted child may take to remove what it has half made."""


def render_command(
    run: RunArgument = "last",
    episode: Annotated[
        int | None,
        typer.Option(
            help="Which stored episode, counted from 1; the longest whole held-out one by default.",
            metavar="NUMBER",
        ),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="newest, best, or a folder in checkpoints/.", metavar="NAME")
    ] = "newest",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write into; the run's videos/ by default.", metavar="FOLDER"),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the stored episodes instead.")] = (
        False
    ),
    as_json: JsonOption = False,
) -> None:
    """Film a stored episode as the run's networks draw it, and a strip of its moments.

    Nothing is trained. The film (MP4) shows original beside reconstruction, the strip (PNG) also
    their difference, whole and magnified. It works as soon as there is a checkpoint. An agent plays
    its evaluation again, of which the best and the median episode are filmed.
    """
    folder, _ = find_run_folder(run)
    if not listing:
        _refuse_unless_known(checkpoint, folder)
    options = ["--list"] if listing else [f"--checkpoint={checkpoint}"]
    if episode is not None:
        options.append(f"--episode={episode}")
    if out is not None:
        options.append(f"--out={out.expanduser().absolute()}")
    made = _run_child(folder, options)
    if as_json:
        answer_json(made)
    elif listing:
        for row in made["episodes"]:
            answer(_described(row))
    else:
        answer("\n".join(made[kind] for kind in MADE if made.get(kind)))
    if made.get("note"):
        say(made["note"])
        raise typer.Exit(1)


def _refuse_unless_known(checkpoint: str, run: "RunFolder") -> None:
    """Refuse a checkpoint that a run does not have; whether it is whole is seen when it is read."""
    known = [path.name for path in run.checkpoint_folders()]
    if checkpoint not in ("newest", "best", *known):
        raise UsageError(
            f"run {run.short_id} has no checkpoint {checkpoint!r}; "
            f"there are: {', '.join(known) or 'none yet'}"
        )


def _run_child(run: "RunFolder", options: list[str]) -> dict[str, Any]:
    """Run the learning side's part in a process of its own, and return what it answered."""
    from rlmaster.cli.progress import shown

    command = [sys.executable, "-m", "rlmaster.training.render", str(run.path), *options]
    say(f"{run.name} {run.short_id}: opening its networks")
    # A group of its own, so that Ctrl-C reaches it once, from here, and it can tidy up.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            process_group=0,
        ) as child,
    ):
        assert child.stdout is not None
        made = None
        try:
            with shown(run, quiet=False) as show:
                for line in _lines(child.stdout):
                    made = line.get("answer", made)
                    if made is None:
                        show(_update(run, line))
            code = child.wait()
        except KeyboardInterrupt:
            _interrupt(child)
            say("interrupted before the film was made")
            raise typer.Exit(INTERRUPTED) from None
        if made is None or code:
            said.seek(0)
            say(said.read().decode(errors="replace").rstrip() or f"it ended with exit code {code}")
            raise typer.Exit(code if code > 0 else 1)
        return made


def _lines(stream: Iterable[str]) -> Iterable[dict[str, Any]]:
    return map(json.loads, stream)


def _update(run: "RunFolder", line: dict[str, Any]) -> "Update":
    """Return what the child says on the way as what a follower would see."""
    from rlmaster.events import event
    from rlmaster.follower import Update
    from rlmaster.run_folder import Progress

    events = [event("note", line["note"])] if "note" in line else []
    return Update(run.status(), Progress(**line.get("progress", {})), events)


def _interrupt(child: subprocess.Popen[str]) -> None:
    """Hand an interrupt on, and see the child go."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(LAST_CHANCE_S)
    except subprocess.TimeoutExpired:
        child.kill()


def _described(row: dict[str, Any]) -> str:
    """Return one stored episode as a line of a list."""
    use = {None: "not yet assigned", True: "held out", False: "trained on"}[row["held_out"]]
    end = "whole" if row["ended"] else "not played to its end"
    where = f"environment {row['environment']}"
    return f"{row['number']:>5}  {where:<15} {row['frames']:>7,} frames  {use:<16}  {end}"
