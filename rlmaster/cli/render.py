"""`rlmaster render`: film what a run's networks make of the game, for people to look at."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rlmaster.cli.arguments import (
    JsonOption,
    RunArgument,
    find_run_folder,
    require_checkpoint,
    require_replay,
)
from rlmaster.cli.learning_child import answer_of_child
from rlmaster.cli.terminal import answer, answer_json, say

MADE = ("strip", "video", "best", "median")
"""What the child may have made: of a stored episode the first two, of an agent the others."""


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
    require_replay(folder)
    if not listing:
        require_checkpoint(folder, checkpoint)
    options = ["--list"] if listing else [f"--checkpoint={checkpoint}"]
    if episode is not None:
        options.append(f"--episode={episode}")
    if out is not None:
        options.append(f"--out={out.expanduser().absolute()}")
    made = answer_of_child(
        folder,
        "rlmaster.training.render",
        options,
        interrupted="interrupted before the film was made",
    )
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


def _described(row: dict[str, Any]) -> str:
    """Return one stored episode as a line of a list."""
    use = {None: "not yet assigned", True: "held out", False: "trained on"}[row["held_out"]]
    end = "whole" if row["ended"] else "not played to its end"
    where = f"environment {row['environment']}"
    return f"{row['number']:>5}  {where:<15} {row['frames']:>7,} frames  {use:<16}  {end}"
