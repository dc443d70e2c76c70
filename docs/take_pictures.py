"""Takes the pictures of the app that README and docs show, from real runs.

    make pictures
    .venv/bin/python docs/take_pictures.py [--project FOLDER] [--only runs run]

The first time it makes the runs, which takes about five minutes on two cores, in a project of its
own (build/atari by default); then it opens the app there and presses keys. Look at what comes of
it before you keep it.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terminal_picture import draw_terminal
from textual.pilot import Pilot

from rlmaster.project import Project
from tui.app import RlmasterApp

CHECKOUT = Path(__file__).resolve().parents[1]
PICTURES = CHECKOUT / "docs" / "pictures"
SIZE = (140, 40)
LONGEST_S = 60.0
SETTLED_S = 1.5
"""How long a screen is left alone before its picture is taken."""
SCRIPT = "experiments/pong_autoencoder.py"
SHORT = ("frames.steps=4000", "training.updates=300")
RUNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Does the seed matter for a short training? Three of them say how much of a difference "
        "between two runs is luck.",
        (*SHORT, "seed=1,2,3"),
    ),
    (
        "Is a latent of 32 numbers enough for paddles and ball?\n\n"
        "I expect the paddles to be drawn and the ball to be missing: it is four pixels.",
        (*SHORT, "embedder.latent_dim=32", "seed=1,2,3"),
    ),
    (
        "The same on Breakout, whose wall is most of the picture.",
        (*SHORT, "environment.game=breakout"),
    ),
    ("How small an error does an autoencoder of Pong reach in two minutes?", ()),
)
"""Why each run is made, and what it changes."""


@dataclass(frozen=True)
class Shot:
    """A picture: what is pressed, and what is seen when it may be taken."""

    keys: tuple[str, ...]
    seen: str


SHOTS = {
    "runs": Shot((), "step-"),
    "run": Shot(("enter",), "canonical/error"),
    "new_run": Shot(
        (
            *("n", "wait:can a small autoencoder", "enter", "wait:latent_normalisation"),
            *("/", *"latent_dim", "enter", *"32,64,128", "enter", "/", "escape"),
        ),
        "3 runs",
    ),
    "compare": Shot(("down", *("space",) * 7, "c"), "canonical/error"),
}


def main() -> None:
    """Make the runs where there are none, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=CHECKOUT / "build" / "atari")
    parser.add_argument("--only", nargs="+", choices=SHOTS, default=list(SHOTS))
    given = parser.parse_args()
    project = Project(given.project.resolve())
    os.environ |= {
        "HOME": str(project.root.parent),  # whoever takes them has a path of their own
        "RLMASTER_PROJECT": str(project.root),
        "XDG_STATE_HOME": str(project.root / "state"),
    }
    if not project.runs.exists():
        _make_runs(project)
    for name in given.only:
        asyncio.run(_take(project, SHOTS[name], PICTURES / f"{name}.png"))
        sys.stdout.write(f"{PICTURES / name}.png\n")


def _make_runs(project: Project) -> None:
    project.experiments.mkdir(parents=True, exist_ok=True)
    shutil.copy(CHECKOUT / "hosts.toml", project.hosts_file)
    shutil.copy(CHECKOUT / SCRIPT, project.root / SCRIPT)
    for rationale, overrides in RUNS:
        changes = [word for override in overrides for word in ("--set", override)]
        command = ["launch", SCRIPT, *changes, "--rationale", rationale]
        answer = _rlmaster(project, *command, "--host", "local", "--yes", "--detach", "--json")
        for run in answer["runs"]:
            subprocess.run(
                [sys.executable, "-m", "rlmaster", "follow", run["run_folder"]],
                cwd=project.root, check=True,
            )  # fmt: skip


def _rlmaster(project: Project, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "rlmaster", *arguments]
    answered = subprocess.run(command, cwd=project.root, check=True, stdout=subprocess.PIPE)
    return json.loads(answered.stdout)


async def _take(project: Project, shot: Shot, file: Path) -> None:
    """Press keys in the app, and keep what is seen then."""
    app = RlmasterApp(project)
    async with app.run_test(size=SIZE) as pilot:
        await _wait_for(pilot, lambda text: "completed" in text)
        for key in shot.keys:
            if key.startswith("wait:"):
                await _wait_for(pilot, lambda text, key=key: key.removeprefix("wait:") in text)
            else:
                await pilot.press(key)
        await _wait_for(pilot, lambda text: shot.seen in text)
        await pilot.pause(SETTLED_S)
        draw_terminal(app.screen._compositor.render_strips(), SIZE[0]).save(file)


async def _wait_for(pilot: Pilot[Any], condition: Callable[[str], bool]) -> None:
    """Wait until the screen shows what is wanted."""
    for _ in range(int(LONGEST_S / 0.1)):
        strips = pilot.app.screen._compositor.render_strips()
        if condition("\n".join(strip.text for strip in strips)):
            return
        await pilot.pause(0.1)
    raise SystemExit("the app never showed what the picture is of")


if __name__ == "__main__":
    main()
