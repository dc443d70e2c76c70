"""The first screen: all runs, newest first."""

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Footer, Static

from rlmaster.project import Project
from tui.messages import OpenNewRun, OpenRun, RunsRead
from tui.plain_text import one_line
from tui.run_overview import RunCatalogue
from tui.screens.polling import PollingScreen
from tui.widgets.run_list import RunList

FIRST_RUN_TEXT = """\
There are no runs yet.

A run is one experiment, trained once. You pick an experiment, write a few words on why you \
run it, and pick a computer; RLmaster keeps the rest: the code, the settings, the curves, the \
pictures and a report.

Press n to start the first one."""


class RunsScreen(PollingScreen):
    """Lists runs and opens one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("n", "new_run", "New run")]

    def __init__(self, project: Project, clock: Callable[[], datetime]) -> None:
        """Say whose runs are listed, and what time it is."""
        catalogue = RunCatalogue(project.runs)
        super().__init__(look=lambda: RunsRead(catalogue.read()))
        self._project = project
        self._clock = clock

    def compose(self) -> ComposeResult:
        """Lay out a title, the list, and what stands in its place while it is empty."""
        yield Static(id="title")
        yield Static(Content(FIRST_RUN_TEXT), id="first-run")
        yield RunList()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Say at once that the runs are being read."""
        self.query_one("#first-run").display = False
        self._show_title("reading runs")

    def _show_title(self, what: str) -> None:
        place = one_line(str(self._project.root))
        title = Content.assemble(("RLmaster", "bold"), f"  {what}  ", (place, "dim"))
        self.query_one("#title", Static).update(title)

    @on(RunsRead)
    def show_runs(self, message: RunsRead) -> None:
        """Show what was read."""
        runs = message.runs
        self.query_one("#first-run").display = not runs
        self.query_one(RunList).show(runs, self._clock())
        self._show_title(f"{len(runs):,} run{'' if len(runs) == 1 else 's'}")

    @on(RunList.Chosen)
    def open_run(self, message: RunList.Chosen) -> None:
        """Ask for a run's own screen."""
        self.post_message(OpenRun(message.path))

    def action_new_run(self) -> None:
        """Ask for the screen that starts a run."""
        self.post_message(OpenNewRun())
