"""`rlmaster frames`: looking at what would be learned from."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from rlmaster.cli.terminal import answer, say
from rlmaster.errors import UsageError


def frames_command(
    game: Annotated[str | None, typer.Argument(help="Atari game, by any spelling.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="PNG to write; GAME.png here by default.", metavar="FILE")
    ] = None,
    steps: Annotated[int, typer.Option(help="Agent steps to play at random.")] = 150,
    count: Annotated[int, typer.Option(help="Moments to show, 1 to 50.")] = 6,
    seed: Annotated[int, typer.Option(help="Seed of the game and of the actions.")] = 1,
    protocol: Annotated[str, typer.Option(help="How it is played and seen.")] = "machado2018",
    names: Annotated[bool, typer.Option("--list", help="Name every game instead.")] = False,
) -> None:
    """Write a strip of a game's frames to look at.

    Above as the console shows them, below as the learner sees them.
    """
    from rlmaster.experiment import Atari, atari_games

    if names:
        answer("\n".join(atari_games()))
        return
    if game is None:
        raise UsageError("name a game, such as `rlmaster frames pong`; --list names them all")
    atari = Atari.from_data({"game": game, "protocol": protocol})
    file = out or Path(f"{atari.game}.png")
    options = {"out": file, "steps": steps, "count": count, "seed": seed, "protocol": protocol}
    command = [sys.executable, "-m", "rlmaster.atari.strip", atari.game]
    command += [f"--{name}={value}" for name, value in options.items()]
    say(f"playing {atari.game}")
    raise typer.Exit(subprocess.run(command, check=False).returncode)
