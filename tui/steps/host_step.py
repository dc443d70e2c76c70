"""The third step: where."""

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import OptionList, Static

from tui.commands import HOSTS_DEADLINE_S
from tui.draft import AUTO, HostChoice, parse_hosts
from tui.messages import CommandAnswered, CommandFailed
from tui.plain_text import one_line
from tui.steps.step import Step
from tui.widgets.choice_list import ChoiceList

REFRESH_S = 5.0


class HostStep(Step):
    """Lists the hosts as they are ranked now, each with its reason."""

    title = "Host"

    def compose(self) -> ComposeResult:
        """Lay out the list and what is known of it."""
        yield ChoiceList(id="hosts")
        yield Static("Asking the hosts how busy they are ...", id="hosts-state")

    def enter(self) -> None:
        """Ask the hosts, again and again while the step is in front."""
        choices = self.query_one(ChoiceList)
        choices.focus()
        self._show(self._draft.hosts)
        self.ask(["hosts", "--json"], HOSTS_DEADLINE_S, REFRESH_S)

    @on(CommandAnswered)
    def take_answer(self, message: CommandAnswered) -> None:
        """Show the ranking as it is now."""
        self._draft.hosts = parse_hosts(message.answer)
        self._show(self._draft.hosts)
        self._say(f"Asked again every {REFRESH_S:.0f} s.", "$foreground-muted")

    @on(CommandFailed)
    def show_failure(self, message: CommandFailed) -> None:
        """Say why nothing is known."""
        self._say(message.reason, "$text-error")

    def _show(self, hosts: list[HostChoice]) -> None:
        taken = next((host for host in hosts if host.fits), None)
        if taken is not None:
            about = f"the first that fits, now {one_line(taken.name)}"
        else:
            about = "none fits now" if hosts else "the best one"
        entries = {AUTO: Content.assemble((AUTO, "bold"), "\n  ", (about, "$foreground-muted"))}
        entries |= {host.name: _entry(host) for host in hosts}
        self.query_one(ChoiceList).show(entries, preferred=self._draft.host)

    def _say(self, text: str, colour: str) -> None:
        self.query_one("#hosts-state", Static).update(Content.styled(text, colour))

    @on(OptionList.OptionHighlighted)
    def take(self) -> None:
        """Take the highlighted one."""
        self._draft.host = self.query_one(ChoiceList).chosen or AUTO

    @on(OptionList.OptionSelected)
    def finish(self) -> None:
        """Go on with the highlighted one."""
        self.post_message(self.Done())


def _entry(host: HostChoice) -> Content:
    colour = "$foreground-muted" if host.fits else "$text-warning"
    return Content.assemble(
        (one_line(host.name), "bold"),
        (f"  {host.kind}", "$foreground-muted"),
        "\n  ",
        (host.reason, colour),
    )
