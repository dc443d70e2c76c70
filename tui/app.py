"""The app: which screen follows which. Screens ask for each other by messages."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

from textual import on, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen

from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from tui.commands import CommandLine, JsonObject
from tui.draft import Draft
from tui.feeds import feed
from tui.messages import CompareRuns, Launched, OpenHosts, OpenNewRun, OpenRun
from tui.screens.compare import CompareScreen
from tui.screens.help import HelpScreen
from tui.screens.hosts import HostsScreen
from tui.screens.new_run import NewRunScreen
from tui.screens.polling import PollingScreen
from tui.screens.run import RunScreen
from tui.screens.runs import RunsScreen
from tui.threads import cancelled_event

STYLES = ("common", "dialogs", "runs", "new_run", "run", "compare", "hosts")


def utc_clock() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


class RlmasterApp(App[None]):
    """Shows a project's runs, and starts new ones."""

    TITLE = "RLmaster"
    CSS_PATH = [f"styles/{name}.tcss" for name in STYLES]  # noqa: RUF012 - its type is private
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "show_keys", "Help", key_display="?"),
        Binding("f1", "show_keys", "Help"),
        Binding("q", "quit", "Quit"),
    ]

    news = reactive(0)
    """Grows with each word that something has changed in a run of another computer."""

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
        self.project = project
        self.command = command or CommandLine(project.root)
        self.clock = clock
        self._draft = Draft()

    def get_default_screen(self) -> Screen[None]:
        """Begin with the list of runs."""
        return RunsScreen(self.project, self.clock)

    def on_ready(self) -> None:
        """Once something is to be seen, begin to follow what is made elsewhere."""
        self._follow_other_computers()

    @work(thread=True)
    def _follow_other_computers(self) -> None:
        def take(_news: JsonObject) -> None:
            self.call_from_thread(self._take_news)

        feed(self.command, ["watch", "--json"], cancelled_event(), take)

    def _take_news(self) -> None:
        self.news += 1

    def watch_news(self) -> None:
        """Let the present screen look at its files at once."""
        if isinstance(self.screen, PollingScreen):
            self.screen.look_now()

    @on(OpenRun)
    def open_run(self, message: OpenRun) -> None:
        """Show one run."""
        self.push_screen(RunScreen(RunFolder(message.path), self.clock))

    @on(OpenNewRun)
    def open_new_run(self) -> None:
        """Go on with the draft of a new run."""
        self.push_screen(NewRunScreen(self.project, self.command, self._draft))

    @on(CompareRuns)
    def compare_runs(self, message: CompareRuns) -> None:
        """Show runs side by side."""
        folders = [RunFolder(path) for path in message.paths]
        self.push_screen(CompareScreen(self.project, folders, self.clock))

    @on(OpenHosts)
    def open_hosts(self) -> None:
        """Show the computers."""
        self.push_screen(HostsScreen(self.project, self.command))

    @on(Launched)
    def show_launched_run(self, message: Launched) -> None:
        """Show a run that has just been launched, or the list of several, and begin a new draft."""
        self._draft = Draft()
        self.pop_screen()
        if len(message.paths) == 1:
            self.push_screen(RunScreen(RunFolder(message.paths[0]), self.clock))

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
