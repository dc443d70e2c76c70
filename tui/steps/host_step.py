"""The fourth step: where."""

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import OptionList, Static

from tui.drafts.draft import AUTO, HostChoice, parse_hosts
from tui.messages import CommandAnswered, CommandFailed
from tui.steps.step import Step
from tui.widgets.choice_list import ChoiceList
from tui.words.plain_text import one_line

REFRESH_S = 5


class HostStep(Step):
    """Lists the hosts as they are ranked now for this run, each with its reason."""

    title = "Host"

    def compose(self) -> ComposeResult:
        """Lay out the list and what is known of it."""
        yield ChoiceList(id="host-choices")
        yield Static(id="hosts-state")

    def enter(self) -> None:
        """Ask the hosts, again and again while the step is in front."""
        choices = self.query_one(ChoiceList)
        choices.focus()
        self._show(self._draft.hosts)
        self._say("Asking the hosts how busy they are ...", "$foreground-muted")
        needs = (f"--need={name}={text}" for name, text in self._draft.needs.items())
        self.listen(["hosts", "--live", str(REFRESH_S), "--json", *needs])

    @on(CommandAnswered)
    def take_answer(self, message: CommandAnswered) -> None:
        """Show the ranking as it is now."""
        self._draft.hosts = parse_hosts(message.answer)
        self._show(self._draft.hosts)
        if problem := one_line(str(message.answer.get("problem") or "")):
            self._say(problem, "$text-error")
        elif not any(host.is_pending for host in self._draft.hosts):
            self._say(f"Asked again every {REFRESH_S} s.", "$foreground-muted")

    @on(CommandFailed)
    def show_failure(self, message: CommandFailed) -> None:
        """Say why nothing is known."""
        self._say(message.reason, "$text-error")

    def _show(self, hosts: list[HostChoice]) -> None:
        taken = next((host for host in hosts if host.fits), None)
        if taken is not None:
            about = f"the first that fits, now {one_line(taken.name)}"
        else:
            is_known = hosts and not any(host.is_pending for host in hosts)
            about = "none fits now" if is_known else "the best one"
        entries = {AUTO: Content.assemble((AUTO, "bold"), "\n  ", (about, "$foreground-muted"))}
        entries |= {host.name: _entry(host) for host in hosts}
        if self._draft.host not in entries:  # nobody is asked yet, or hosts.toml names it no more
            entries[self._draft.host] = Content.styled(one_line(self._draft.host), "bold")
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
    sign, colour = ("✓", "$foreground-muted") if host.fits else ("✗", "$text-warning")
    if host.is_pending:
        sign, colour = "·", "$foreground-muted"
    return Content.assemble(
        (one_line(host.name), "bold"),
        (f"  {host.kind}", "$foreground-muted"),
        "\n  ",
        (f"{sign} {host.reason}", colour),
    )
