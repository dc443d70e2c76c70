"""What a computer has and lacks for runs, what that costs, and what mends it."""

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.children.answers import objects_in, text_in
from tui.children.commands import CommandCancelledError, CommandError, CommandLine, JsonObject
from tui.messages import CommandAnswered, CommandFailed
from tui.threads import cancelled_event
from tui.words.plain_text import printable

TEST_DEADLINE_S = 120.0
CAN_MAKE_RUNS = ("It can make runs.", "bold $text-success")
CANNOT_MAKE_RUNS = ("It cannot make runs until what is missing is there.", "bold $text-error")


class HostTestScreen(ModalScreen[None]):
    """Looks for all that runs need on a host, and shows what was found."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Close")]

    def __init__(self, host: str, command: CommandLine) -> None:
        """Say which host, and how to run the command line."""
        super().__init__()
        self._host = host
        self._command = command

    def compose(self) -> ComposeResult:
        """Lay out the findings, of which there are none yet."""
        with VerticalScroll(classes="dialog", id="findings") as dialog:
            dialog.border_title = Content(f"Test of {self._host}")  # type: ignore
            dialog.border_subtitle = "esc closes"
            yield Static(f"looking at {self._host} …", markup=False)

    def on_mount(self) -> None:
        """Look."""
        self._test()

    @work(thread=True)
    def _test(self) -> None:
        arguments = ["hosts", "test", self._host, "--json"]
        try:
            answer = self._command.run(arguments, cancelled_event(), TEST_DEADLINE_S)
        except CommandCancelledError:
            return
        except CommandError as error:
            if not error.answer:  # else something is missing there, which is an answer too
                self.post_message(CommandFailed(str(error)))
                return
            answer = error.answer
        self.post_message(CommandAnswered(answer))

    @on(CommandAnswered)
    def show_findings(self, message: CommandAnswered) -> None:
        """Show what was found."""
        hosts = objects_in(message.answer.get("hosts"))
        findings = [finding for host in hosts for finding in objects_in(host.get("findings"))]
        fit = all(host.get("fit_to_run") is True for host in hosts) and bool(hosts)
        verdict = Content.styled(*(CAN_MAKE_RUNS if fit else CANNOT_MAKE_RUNS))
        lines = [verdict, Content(""), *map(_finding, findings)]
        self.query_one(Static).update(Content("\n").join(lines))

    @on(CommandFailed)
    def show_failure(self, message: CommandFailed) -> None:
        """Say why nothing was found."""
        self.query_one(Static).update(Content.styled(printable(message.reason), "$text-error"))


def _finding(finding: JsonObject) -> Content:
    name, found, cost, remedy = (
        text_in(finding.get(key)) for key in ("name", "found", "cost", "remedy")
    )
    if not finding.get("missing"):
        return Content.assemble(("✓ ", "$text-success"), f"{name}: ", (found, "$foreground-muted"))
    sign, colour = ("✗", "$text-error") if finding.get("essential") else ("!", "$text-warning")
    return Content.assemble(
        (f"{sign} ", colour),
        f"{name}: {found}",
        (f"\n    {cost}", colour),
        (f"\n    → {remedy}" if remedy else "", "bold"),
    )
