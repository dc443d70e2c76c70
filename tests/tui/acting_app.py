"""An app with a bare first screen, for what does not depend on which screen one looks at."""

import sys
from collections.abc import Sequence
from pathlib import Path

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Footer

from rlmaster.project import Project
from tui.app import RlmasterApp
from tui.children.commands import CommandLine


class BareScreen(Screen[None]):
    """Shows nothing, and is about some runs."""

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        super().__init__()
        self.paths = paths

    def compose(self) -> ComposeResult:
        yield Footer()

    def runs_at_hand(self) -> Sequence[Path]:
        return self.paths


def bare_app(
    project: Project, paths: Sequence[Path] = (), command: CommandLine | None = None
) -> RlmasterApp:
    """Return an app that acts by the real command line unless another one is given."""
    real = CommandLine(project.root, (sys.executable, "-m", "rlmaster"))
    app = RlmasterApp(project, command=command or real)
    app.get_default_screen = lambda: BareScreen(paths)  # type: ignore[method-assign]
    return app


def told(app: RlmasterApp) -> str:
    """Return what the app has told in passing."""
    return "\n".join(f"{each.title} {each.text}" for each in list(app.told))
