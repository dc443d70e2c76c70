"""The last step: look once more, launch, and see each step of it as it happens."""

import os
import tempfile
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from tui.commands import LAUNCH_DEADLINE_S
from tui.draft import Draft
from tui.messages import CommandAnswered, CommandFailed, CommandSaid, Launched
from tui.plain_text import printable
from tui.steps.step import Step
from tui.threads import cancelled_event


class LaunchStep(Step):
    """Sums the draft up, and launches it."""

    title = "Launch"

    is_launching = reactive(False, bindings=True)
    """Whether a launch is under way."""

    def compose(self) -> ComposeResult:
        """Lay out the summary, and below it what the launch says."""
        with VerticalScroll(id="summary"):
            yield Static(id="summary-text")
        with VerticalScroll(id="launch-steps"):
            yield Static(id="launch-text")

    def on_mount(self) -> None:
        """Begin with nothing said."""
        self._lines: list[Content] = []

    def enter(self) -> None:
        """Sum up."""
        self._lines = []
        self._show_lines()
        self.query_one("#summary-text", Static).update(_summary(self._draft))
        self.query_one("#summary").focus()

    def leave(self) -> None:
        """End a launch that is under way."""
        super().leave()
        self.is_launching = False

    def start(self) -> None:
        """Launch."""
        assert self._draft.experiment is not None
        self.is_launching = True
        self._lines = [Content.styled("Launching ...", "bold")]
        self._show_lines()
        self._launch(self._draft.experiment.file, self._draft.rationale, self._draft.host)

    def cancel(self) -> None:
        """End the launch that is under way."""
        self.leave()
        self._add("Cancelled. A run that was already made is in the list.", "$text-warning")

    @work(thread=True, exclusive=True)
    def _launch(self, script: str, rationale: str, host: str) -> None:
        handle, name = tempfile.mkstemp(prefix="rationale-", suffix=".md")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
                file.write(rationale)
            arguments = ["launch", script, "--rationale-file", name, "--host", host]
            arguments += ["--yes", "--detach", "--json"]
            self.run_command(arguments, LAUNCH_DEADLINE_S, cancelled_event())
        finally:
            Path(name).unlink(missing_ok=True)

    @on(CommandSaid)
    def show_step(self, message: CommandSaid) -> None:
        """Show what the launch does."""
        self._add(message.line, "$foreground")

    @on(CommandFailed)
    def show_failure(self, message: CommandFailed) -> None:
        """Say why nothing was launched."""
        self.is_launching = False
        self._lines = self._lines[:1]
        self._add(message.reason, "$text-error")
        self._add("Nothing is lost: press enter to try again, or escape to change it.", "bold")

    @on(CommandAnswered)
    def finish(self, message: CommandAnswered) -> None:
        """Hand on the run that was launched."""
        self.is_launching = False
        self.post_message(Launched([Path(str(message.answer.get("run_folder", "")))]))

    def _add(self, text: str, style: str) -> None:
        self._lines.append(Content.styled(text, style))
        self._show_lines()

    def _show_lines(self) -> None:
        self.query_one("#launch-text", Static).update(Content("\n").join(self._lines))
        pane = self.query_one("#launch-steps", VerticalScroll)
        pane.display = bool(self._lines)
        pane.scroll_end(animate=False)


def _summary(draft: Draft) -> Content:
    experiment = draft.experiment
    assert experiment is not None
    chosen = [f"{path} = {value}" for path, value in experiment.chosen_values.items()]
    rows = {
        "Experiment": f"{experiment.name}\n{experiment.title}",
        "Settings": "\n".join(chosen) or "all at their defaults",
        "Host": draft.host_line(),
        "Why": printable(draft.rationale).strip(),
    }
    return Content("\n").join(
        Content.assemble((f"{name}\n", "bold $text-accent"), _indented(text))
        for name, text in rows.items()
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
