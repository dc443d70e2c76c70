"""The computers that runs may use: how busy each is, and which runs are there."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# Textual leaves open what its own `app` is.

from dataclasses import dataclass, replace
from typing import ClassVar, cast

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, OptionList, Static
from textual.worker import Worker

from rlmaster.project import Project
from tui.children.commands import CommandCancelledError, CommandError, CommandLine
from tui.messages import AskHosts, HostsRead, OpenRun
from tui.reading.host_runs import HostRuns, read_host_runs, run_entry
from tui.reading.host_view import HostsView, HostView, KnowsHosts
from tui.screens.dialogs import CommandScreen, ConfirmScreen
from tui.screens.host_test import HostTestScreen
from tui.threads import cancelled_event, in_thread
from tui.widgets.choice_list import ChoiceList
from tui.words.host_text import list_entry, page, slot_words

NARROW = 100
"""Columns below which the list stands over the page, not beside it."""
SETTLE_S = 0.2
"""How long a host is looked at before it is asked for its runs."""
RUNS_HERE_EVERY_S = 3.0
RUNS_THERE_EVERY_S = 15.0
"""Between two questions for its runs; another computer has to be connected to each time."""
DRAIN_DEADLINE_S = 60.0
DRAINING = (
    "starts nothing more until it is reopened; what runs there goes on, and what waits there keeps "
    "waiting."
)
REOPENING = "starts runs again; those that wait there go first."


@dataclass
class HostRunsRead(Message):
    """A computer has said which runs it has."""

    found: HostRuns


class HostsScreen(Screen[None]):
    """Shows how busy each computer is and what is done there, and lets one test or drain it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "test", "Test"),
        Binding("i", "set_up", "Set up"),
        Binding("d", "drain", "Drain"),
        Binding("o", "reopen", "Reopen"),
        Binding("r", "ask_now", "Ask now"),
        Binding("escape", "app.pop_screen", "Back"),
        Binding("j", "move('down')", "Down", show=False),
        Binding("k", "move('up')", "Up", show=False),
    ]

    def __init__(self, project: Project, command: CommandLine) -> None:
        """Say whose computers, and how to ask the command line."""
        super().__init__()
        self._project = project
        self._command = command
        self._hosts = HostsView()
        self._runs = HostRuns("")
        self._reading: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        """Lay out the list beside the page of a host."""
        yield Static(Content.styled("Hosts", "bold"), id="title")
        yield Static(id="hosts-problem", markup=False)
        with Horizontal(id="hosts-body"):
            yield ChoiceList(id="hosts")
            with Vertical(id="host"):
                with VerticalScroll(id="host-page"):
                    yield Static(id="host-words", markup=False)
                yield ChoiceList(id="host-runs")
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Follow what the app learns of hosts."""
        self._list("hosts").focus()
        self.watch(self.app, "hosts", self._take)

    def _list(self, name: str) -> ChoiceList:
        return self.query_one(f"#{name}", ChoiceList)

    def on_resize(self, event: events.Resize) -> None:
        """Put the list where there is room for it."""
        self.set_class(event.size.width < NARROW, "-narrow")

    @property
    def _app(self) -> KnowsHosts:
        return cast("KnowsHosts", self.app)

    @property
    def _host(self) -> HostView | None:
        """The host under the cursor."""
        chosen = self._list("hosts").chosen
        return next((host for host in self._hosts.hosts if host.name == chosen), None)

    # -------------------------------------------------------------------------------------- hosts

    def _take(self, hosts: HostsView) -> None:
        """Show what is known now; a host whose runs have changed is asked for them at once."""
        before, self._hosts = self._host, hosts
        problem = self.query_one("#hosts-problem", Static)
        problem.update(hosts.problem)
        problem.display = bool(hosts.problem)
        now = self._app.clock()
        self._list("hosts").show({host.name: list_entry(host, now) for host in hosts.hosts})
        self._show_page()
        if before and self._host and _runs_of(before) != _runs_of(self._host):
            self._read_runs()

    @on(OptionList.OptionHighlighted, "#hosts")
    def show_host(self) -> None:
        """Show the host under the cursor."""
        self._show_page()
        if self._host and self._host.name != self._runs.host:
            self._show_runs(HostRuns(self._host.name), "asking …")
            self._read_runs()
        self.refresh_bindings()

    def _show_page(self) -> None:
        words = Content("asking the hosts …")
        if self._host:
            words = page(self._host, self._app.clock())
            self._list("host-runs").border_title = Content(slot_words(self._host))  # type: ignore
        self.query_one("#host-words", Static).update(words)

    @on(OptionList.OptionSelected, "#hosts")
    def go_to_runs(self) -> None:
        """Go on to the runs of a host."""
        if self._runs.runs:
            self._list("host-runs").focus()

    # --------------------------------------------------------------------------------------- runs

    @on(events.ScreenResume)
    def _read_runs(self) -> None:
        """Ask the host under the cursor for its runs, and again every few seconds."""
        self._stop_reading()
        if self._host:
            self._reading = self._ask_for_runs(self._host)

    @on(events.ScreenSuspend)
    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    @work(thread=True)
    def _ask_for_runs(self, host: HostView) -> None:
        cancelled = cancelled_event()
        pause_s = SETTLE_S
        while not cancelled.wait(pause_s):
            try:
                found = read_host_runs(self._project, self._command, host, cancelled)
            except CommandCancelledError:
                return
            self.post_message(HostRunsRead(found))
            pause_s = RUNS_HERE_EVERY_S if host.kind == "local" else RUNS_THERE_EVERY_S

    @on(HostRunsRead)
    def take_runs(self, message: HostRunsRead) -> None:
        """Show the runs of a host, if it is still the one."""
        if self._host and message.found.host == self._host.name:
            self._show_runs(message.found, message.found.problem)

    def _show_runs(self, found: HostRuns, words: str) -> None:
        self._runs = found
        runs = self._list("host-runs")
        runs.show({run.run_id: run_entry(run) for run in found.runs})
        runs.border_subtitle = Content(words or ("" if found.runs else "nothing runs or waits"))  # type: ignore

    @on(OptionList.OptionSelected, "#host-runs")
    def open_run(self) -> None:
        """Open a run, if it is one of this project's."""
        chosen = self._list("host-runs").chosen
        path = next((run.path for run in self._runs.runs if run.run_id == chosen), None)
        if path is not None:
            self.post_message(OpenRun(path))
        else:
            self.notify("This run belongs to another project.", severity="warning", markup=False)

    def action_move(self, direction: str) -> None:
        """Move the cursor of the list that has it."""
        focused = self.focused
        if isinstance(focused, OptionList):
            focused.action_cursor_down() if direction == "down" else focused.action_cursor_up()

    # ------------------------------------------------------------------------------------- acting

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what can be done with the host under the cursor."""
        if action in ("test", "set_up", "drain", "reopen") and self._host is None:
            return False
        if action == "set_up":
            return self._host is not None and self._host.kind != "local"
        if action in ("drain", "reopen"):
            return self._host is not None and self._host.drained == (action == "reopen")
        return True

    def action_ask_now(self) -> None:
        """Ask all hosts now, those too that were to be left alone for a while."""
        self.post_message(AskHosts())

    def action_test(self) -> None:
        """Look for all that runs need on the host."""
        if self._host:
            self.app.push_screen(HostTestScreen(self._host.name, self._command))

    def action_set_up(self) -> None:
        """Make what runs need on the host."""
        if not self._host:
            return
        name = self._host.name
        question = Content(
            f"A workspace and a Python environment are made on {name}, which takes minutes and a "
            "few GB there. What is there already stays."
        )

        def begin(sure: bool | None) -> None:
            if sure:
                arguments = ["hosts", "setup", name, "--yes", "--json"]
                self.app.push_screen(CommandScreen(f"Setting up {name}", self._command, arguments))

        self.app.push_screen(ConfirmScreen(question, "y", "Set up"), begin)

    def action_drain(self) -> None:
        """Let the host start nothing more."""
        self._ask_to_drain(drained=True)

    def action_reopen(self) -> None:
        """Let the host start waiting runs again."""
        self._ask_to_drain(drained=False)

    def _ask_to_drain(self, *, drained: bool) -> None:
        if not self._host:
            return
        name = self._host.name
        what, sentence = ("Drain", DRAINING) if drained else ("Reopen", REOPENING)

        def begin(sure: bool | None) -> None:
            if sure:
                self._drain(name, drained=drained)

        question = Content(f"{name} {sentence}")
        self.app.push_screen(ConfirmScreen(question, "y", what), begin)

    @work
    async def _drain(self, name: str, *, drained: bool) -> None:
        options = [] if drained else ["--open"]
        arguments = ["hosts", "drain", name, *options, "--json"]
        try:
            await in_thread(
                lambda cancelled: self._command.run(arguments, cancelled, DRAIN_DEADLINE_S)
            )
        except CommandCancelledError:
            return
        except CommandError as error:
            self.notify(error.reason, title=name, severity="error", markup=False)
            return
        self.notify("drained" if drained else "open again", title=name, markup=False)
        self.app.post_message(HostsRead(_drained(self._hosts, name, drained=drained)))


def _runs_of(host: HostView) -> tuple[object, ...]:
    """Return what changes when the runs on a host do."""
    return (host.measured.runs if host.measured else None, host.waiting)


def _drained(hosts: HostsView, name: str, *, drained: bool) -> HostsView:
    """Return the hosts with what is known of one before it is asked again."""
    changed = [
        replace(host, drained=drained) if host.name == name else host for host in hosts.hosts
    ]
    return replace(hosts, hosts=tuple(changed))
