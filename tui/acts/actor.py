"""Whoever does what the person chose for runs."""

# pyright: reportUnknownMemberType=false
# Textual leaves open what a worker answers.

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from textual.content import Content

from tui.acts.actions import ACTIONS, RunAtHand, read_run, suiting
from tui.acts.living import Living
from tui.acts.making import Making
from tui.acts.noting import Noting
from tui.acts.stage import Stage
from tui.messages import CompareRuns, RunAgain
from tui.screens.action_menu import ActionMenu, Entry
from tui.threads import in_thread

Act = Callable[[Sequence[RunAtHand]], Awaitable[None]]


class Actor:
    """Asks what shall be done with runs, and does it without holding up the app."""

    def __init__(self, stage: Stage) -> None:
        """Say where it acts."""
        self._stage = stage
        self._living = living = Living(stage)
        noting, making = Noting(stage), Making(stage)
        self._acts: dict[str, Act] = {
            "stop": living.stop,
            "abandon": living.abandon,
            "resume": living.resume,
            "move": living.move,
            "run_again": self._run_again,
            "compare": self._compare,
            "conclude": noting.conclude,
            "tag": noting.tag,
            "open_report": making.open_report,
            "make_report": making.make_report,
            "open_film": making.open_film,
            "make_film": making.make_film,
            "tensorboard": making.tensorboard,
            "copy_path": noting.copy_path,
            "copy_command": noting.copy_command,
            "delete": living.delete,
        }
        assert self._acts.keys() == {action.name for action in ACTIONS}

    def choose(self, paths: Sequence[Path]) -> None:
        """Ask what shall be done with runs, and do it."""
        self._stage.app.run_worker(self._choose(paths))

    def do(self, name: str, paths: Sequence[Path]) -> None:
        """Do something with those of the runs that it can be done with."""
        self._stage.app.run_worker(self._do(name, paths))

    def undo(self) -> None:
        """Take back what was done last, if it can be."""
        self._stage.app.run_worker(self._living.undo())

    def restore_last(self) -> None:
        """Bring back the run that was deleted last."""
        self._stage.app.run_worker(self._living.restore_last())

    @property
    def can_undo(self) -> bool:
        """Whether something can be taken back."""
        return self._living.can_undo

    def finish(self) -> None:
        """Ask for what still waits, since the app ends."""
        self._living.stops.carry_out()

    async def _choose(self, paths: Sequence[Path]) -> None:
        runs = await self._look_at(paths)
        if not runs:
            return
        title = runs[0].label if len(runs) == 1 else f"{len(runs)} runs"
        entries = [
            Entry(action.name, action.key, Content(action.title(fitting, len(runs))))
            for action, fitting in suiting(runs).items()
        ]
        name = await self._stage.ask(ActionMenu(title, entries))
        if name is not None:
            await self._do(name, paths)

    async def _do(self, name: str, paths: Sequence[Path]) -> None:
        """Look again, since the runs went on while a menu was open."""
        runs = await self._look_at(paths)
        [action] = [action for action in ACTIONS if action.name == name]
        fitting = action.fitting(runs)
        if fitting:
            await self._acts[name](fitting)
        elif runs:
            self._stage.complain(f"{action.words}: no longer possible, since {_standing(runs)}")

    async def _look_at(self, paths: Sequence[Path]) -> list[RunAtHand]:
        found = await in_thread(lambda cancelled: [read_run(path) for path in paths])
        runs = [run for run in found if run is not None]
        if not runs:
            self._stage.complain("There is no run here that something can be done with")
        return runs

    async def _run_again(self, runs: Sequence[RunAtHand]) -> None:
        self._stage.app.post_message(RunAgain(runs[0].path))

    async def _compare(self, runs: Sequence[RunAtHand]) -> None:
        self._stage.app.post_message(CompareRuns([run.path for run in runs]))


def _standing(runs: Sequence[RunAtHand]) -> str:
    return f"{runs[0].label} is {runs[0].state}" if len(runs) == 1 else "the runs went on meanwhile"
