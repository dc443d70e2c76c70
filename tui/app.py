"""The app: which screen follows which. Screens ask for each other by messages."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from tui.commands import CommandLine
from tui.draft import Draft
from tui.messages import Launched, OpenNewRun, OpenRun
from tui.screens.help import HelpScreen
from tui.screens.new_run import NewRunScreen
from tui.screens.run import RunScreen
from tui.screens.runs import RunsScreen


def utc_clock() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


class RlmasterApp(App[None]):
    """Shows a project's runs, and starts new ones."""

    TITLE = "RLmaster"
    CSS_PATH = "app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "show_keys", "Help", key_display="?"),
        Binding("f1", "show_keys", "Help"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(
        self,
        project: Project,
        *,
        command: CommandLine | None = None,
        clock: Callable[[], datetime] = utc_clock,
    ) -> None:
        """Say which project is shown.

        Args:
            project: Whose runs are shown and made.
            command: How to run the command line; the installed one if not given.
            clock: What time it is, in UTC.
        """
        super().__init__()
        self._project = project
        self._command = command or CommandLine(project.root)
        self._clock = clock
        self._draft = Draft()

    def get_default_screen(self) -> Screen[None]:
        """Begin with the list of runs."""
        return RunsScreen(self._project, self._clock)

    @on(OpenRun)
    def open_run(self, message: OpenRun) -> None:
        """Show one run."""
        self.push_screen(RunScreen(RunFolder(message.path), self._clock))

    @on(OpenNewRun)
    def open_new_run(self) -> None:
        """Go on with the draft of a new run."""
        self.push_screen(NewRunScreen(self._project, self._command, self._draft))

    @on(Launched)
    def show_launched_run(self, message: Launched) -> None:
        """Show a run that has just been launched, and begin a new draft."""
        self._draft = Draft()
        self.pop_screen()
        self.push_screen(RunScreen(RunFolder(message.path), self._clock))

    def action_show_keys(self) -> None:
        """List the keys of the present screen, those of the footer first."""
        active = [key for key in self.screen.active_bindings.values() if key.enabled]
        keys: dict[str, list[str]] = {}
        for _, binding, _, _ in sorted(active, key=lambda key: not key.binding.show):
            keys.setdefault(binding.description, []).append(self.get_key_display(binding))
        self.push_screen(HelpScreen({what: " ".join(each) for what, each in keys.items() if what}))


def run(project: Project) -> int:
    """Run the app in the terminal, and return the exit code."""
    app = RlmasterApp(project)
    app.run()
    return app.return_code or 0
