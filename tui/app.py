"""The app: which screen follows which. Screens ask for each other by messages."""

import asyncio
import gc
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.notifications import SeverityLevel
from textual.reactive import reactive
from textual.screen import Screen

from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.user_config import user_config_path
from tui.children.commands import CommandLine
from tui.children.listening import ask_hosts, follow_other_computers, look_out
from tui.children.passphrases import Passphrases
from tui.messages import (
    AskHosts,
    ChooseAction,
    CompareRuns,
    HostsRead,
    Launched,
    OpenHosts,
    OpenNewRun,
    OpenRun,
    RunAgain,
)
from tui.reading.host_view import HostsView
from tui.screens.compare import CompareScreen
from tui.screens.help import HelpScreen, keys_of
from tui.screens.hosts import HostsScreen
from tui.screens.new_run import NewRunScreen
from tui.screens.notices import NoticesScreen, Told
from tui.screens.polling import PollingScreen
from tui.screens.run import RunScreen
from tui.screens.runs import RunsScreen
from tui.settings import THEMES, Settings, read_app_config
from tui.threads import let_many_wait
from tui.widgets.pixel_picture import prepare_pictures
from tui.words.plain_text import one_line, printable

if TYPE_CHECKING:
    from tui.acts.actor import Actor
    from tui.notices import Notice

STYLES = ("common", "dialogs", "runs", "new_run", "run", "compare", "hosts")
MOST_TOLD = 1000
"""Of what was told in passing, how much can be read again."""


def utc_clock() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


def _provider(name: str) -> type[Provider]:
    """Load a part of the command palette, which the first screen need not wait for."""
    from tui import palette

    return getattr(palette, name)


class RlmasterApp(App[None]):
    """Shows a project's runs, and starts new ones."""

    TITLE = "RLmaster"
    CSS_PATH = [f"styles/{name}.tcss" for name in STYLES]  # noqa: RUF012 - its type is private
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "show_keys", "Help", key_display="?"),
        Binding("f1", "show_keys", "Help"),
        Binding("u", "undo", "Undo"),
        Binding("m", "show_notices", "Messages", show=False),
        Binding("colon,ctrl+p", "command_palette", "Commands", show=False),
        Binding("ctrl+t", "switch_theme", "Dark/light", show=False),
        Binding("q", "quit", "Quit"),
    ]

    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {
        partial(_provider, name) for name in ("KeysProvider", "ActionsProvider", "RunsProvider")
    }

    news = reactive(0)
    """Grows with each word that something has changed in a run of another computer."""
    hosts = reactive(HostsView())
    """What the computers have said of themselves."""

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
        self.passphrases = Passphrases(self)
        self.command = replace(
            command or CommandLine(project.root), environment=self.passphrases.environment
        )
        self.clock = clock
        self.settings = Settings()
        self.config, self._config_problem = read_app_config()
        self._config_problem = self._config_problem or prepare_pictures(self.config.pictures)
        self.theme = THEMES[self._theme_name]
        self._actor: Actor | None = None
        self.told: deque[Told] = deque(maxlen=MOST_TOLD)
        """What was told in passing, oldest first."""

    def get_default_screen(self) -> Screen[None]:
        """Begin with the list of runs."""
        return RunsScreen(self.project, self.clock, self.settings)

    def on_load(self) -> None:
        """Before anything waits, see to it that nothing waits for the end of something else."""
        let_many_wait()

    async def on_ready(self) -> None:
        """Once something is to be seen, begin to follow what is made elsewhere."""
        for number in (signal.SIGHUP, signal.SIGTERM):  # so that nothing is lost by those either
            asyncio.get_running_loop().add_signal_handler(number, self.exit)
        await self.passphrases.open()
        self.ask_hosts()
        for listen in (follow_other_computers, look_out):
            self.run_worker(partial(listen, self), thread=True)
        if self._config_problem:
            self.notify(self._config_problem, title="config.toml", severity="warning")

    def on_unmount(self) -> None:
        """Ask for what was to be asked in a moment."""
        if self._actor is not None:
            self._actor.finish()
        self.passphrases.close()

    @on(AskHosts)
    def ask_hosts(self) -> None:
        """Hear how busy the computers are: now, and then again and again."""
        self.run_worker(partial(ask_hosts, self), thread=True, exclusive=True, group="hosts")

    @on(HostsRead)
    def take_hosts(self, message: HostsRead) -> None:
        """Let whoever shows computers show them as they are now."""
        self.hosts = message.hosts

    def take_news(self) -> None:
        """Know that something has changed in a run of another computer."""
        self.news += 1

    def watch_news(self) -> None:
        """Let the present screen look at its files at once."""
        if isinstance(self.screen, PollingScreen):
            self.screen.look_now()

    @on(OpenRun)
    def open_run(self, message: OpenRun) -> None:
        """Show one run."""
        self.push_screen(RunScreen(RunFolder(message.path), self.command, self.clock))

    @on(OpenNewRun)
    def open_new_run(self) -> None:
        """Go on with the draft of a new run."""
        self.push_screen(NewRunScreen.going_on(self.project, self.command))

    @on(RunAgain)
    def run_again(self, message: RunAgain) -> None:
        """Start a run like another one, with changes."""
        run = RunFolder(message.path)
        self.push_screen(NewRunScreen.going_on(self.project, self.command, run))

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
        """Show a run that has just been launched, or the list of several."""
        self.pop_screen()
        if len(message.paths) == 1:
            self.push_screen(RunScreen(RunFolder(message.paths[0]), self.command, self.clock))

    @on(ChooseAction)
    def choose_action(self, message: ChooseAction) -> None:
        """Ask what shall be done with runs."""
        self.actor.choose(message.paths)

    @property
    def actor(self) -> "Actor":
        """Whoever does what the person chose for runs; made when it is needed first."""
        if self._actor is None:
            from tui.acts.actor import Actor
            from tui.acts.stage import Stage

            self._actor = Actor(Stage(self, self.project, self.command, self.settings))
        return self._actor

    # ---------------------------------------------------------------------------- undo, themes

    def action_undo(self) -> None:
        """Take back what was done last."""
        self.actor.undo()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to undo only where something can be."""
        return action != "undo" or (self._actor is not None and self._actor.can_undo)

    @property
    def _theme_name(self) -> str:
        return self.settings.remembered.theme or self.config.theme

    def action_switch_theme(self) -> None:
        """Make what is dark light, or what is light dark, and stay with it."""
        other = "light" if self._theme_name == "dark" else "dark"
        self.settings.remember(theme=other)
        self.theme = THEMES[other]

    # ---------------------------------------------------------------------------------- telling

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Tell something in passing, from any thread; it is text, and can be read again."""
        message, title = printable(message), one_line(title)
        self.told.append(Told(self.clock(), title, message, severity))
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=False)

    def tell(self, notices: "Sequence[Notice]") -> None:
        """Tell what happened, from any thread; what is only counted can be read one by one."""
        from tui.notices import gathered

        shown = gathered(notices)
        for notice in notices:
            if notice not in shown:
                now = self.clock()
                self.told.append(Told(now, notice.title, notice.body, notice.severity))
        for notice in shown:
            self.notify(notice.body, title=notice.title, severity=notice.severity)

    def action_show_notices(self) -> None:
        """List what was told in passing."""
        self.push_screen(NoticesScreen(list(self.told), self.clock()))

    def action_show_keys(self) -> None:
        """Explain the present screen."""
        places = {
            "runs": self.project.runs,
            "experiments": self.project.experiments,
            "hosts": self.project.hosts_file,
            "your settings": user_config_path(),
        }
        self.push_screen(HelpScreen(keys_of(self, self.screen), places))


def run(project: Project) -> int:
    """Run the app in the terminal, and return the exit code."""
    app = RlmasterApp(project)
    app.run()
    gc.freeze()  # else Python looks through all that was on screen before it ends: half a second
    return app.return_code or 0
