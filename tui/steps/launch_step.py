"""The last step: look once more, launch, and see each step of it as it happens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from textual import on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from rlmaster.grid import number_launched
from tui.children.commands import LAUNCH_DEADLINE_S
from tui.drafts.draft import SCRATCH, Draft
from tui.drafts.form import entries, number_of_runs_in
from tui.messages import CommandAnswered, CommandFailed, CommandSaid, Launched
from tui.steps.step import Step
from tui.threads import cancelled_event
from tui.words.plain_text import printable

CANCELLED = "Cancelled. The list of runs shows whether it had been queued by then."


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
        self._made: list[Path] = []
        self._before = 0

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
        self.is_launching = True
        self._before = self._draft.launched
        self._lines = [Content.styled("Launching ...", "bold")]
        self._show_lines()
        self._launch(self._draft.rationale)

    def cancel(self) -> None:
        """End the launch that is under way; of a grid, what had begun then may be there or not."""
        self.leave()
        if number_of_runs_in(self._draft.changes) == 1:
            self._add(CANCELLED, "$text-warning")
            return
        begun = self._draft.launched + 1
        self._add(
            f"Cancelled with {begun - 1} run{'' if begun == 2 else 's'} launched. Number {begun} "
            "was under way: the list of runs shows whether it is there too.",
            "$text-warning",
        )
        self._add(f"Enter launches the rest, from number {begun} on.", "bold")

    @work(thread=True, exclusive=True)
    def _launch(self, rationale: str) -> None:
        try:
            with NamedTemporaryFile("w", suffix=".md", encoding="utf-8", errors="replace") as file:
                file.write(rationale)
                file.flush()
                arguments = self._draft.launch_arguments(file.name)
                self.run_command(arguments, LAUNCH_DEADLINE_S, cancelled_event())
        except OSError as error:
            reason = f"the rationale cannot be written to a temporary file ({error.strerror})"
            self.post_message(CommandFailed(f"{reason}; see to it that there is room in TMPDIR"))

    @on(CommandSaid)
    def show_step(self, message: CommandSaid) -> None:
        """Show what the launch does, and remember how far a grid has come."""
        launched = number_launched(message.line)
        self._draft.launched = self._draft.launched if launched is None else launched
        self._add(message.line, "$foreground")

    @on(CommandFailed)
    def show_failure(self, message: CommandFailed) -> None:
        """Say why not everything was launched, and remember what was."""
        self.is_launching = False
        made = _folders(entries(message.answer, "runs"))
        self._made += made
        self._draft.launched = max(self._draft.launched, self._before + len(made))
        self._lines = self._lines[:1]
        self._add(message.reason, "$text-error")
        again = "launch the rest" if self._draft.launched else "try again"
        self._add(f"Nothing is lost: press enter to {again}, or escape to change it.", "bold")

    @on(CommandAnswered)
    def finish(self, message: CommandAnswered) -> None:
        """Hand on what was launched."""
        self.is_launching = False
        rows = entries(message.answer, "runs") or [message.answer]
        self.post_message(Launched([*self._made, *_folders(rows)]))

    def _add(self, text: str, style: str) -> None:
        self._lines.append(Content.styled(text, style))
        self._show_lines()

    def _show_lines(self) -> None:
        self.query_one("#launch-text", Static).update(Content("\n").join(self._lines))
        pane = self.query_one("#launch-steps", VerticalScroll)
        pane.display = bool(self._lines)
        pane.scroll_end(animate=False)


def _folders(rows: Sequence[Mapping[str, object]]) -> list[Path]:
    return [Path(str(row["run_folder"])) for row in rows if row.get("run_folder")]


def _summary(draft: Draft) -> Content:
    experiment = draft.experiment
    assert experiment is not None
    chosen = [
        f"{path} = {value}{'  (changed here)' if path in draft.changes else ''}"
        for path, value in draft.settings.items()
    ]
    runs = number_of_runs_in(draft.changes)
    count = "1 run" if runs == 1 else f"{runs} runs, one for each combination of the lists"
    if draft.launched:
        count += f"; {draft.launched} of them launched already"
    rows = {
        "Experiment": "\n".join(dict.fromkeys(filter(None, (experiment.name, experiment.title)))),
        "Settings": "\n".join(chosen) or _unchanged(draft),
        "Runs": count,
        "Host": draft.host_line(),
        "Why": printable(draft.rationale).strip(),
    }
    if draft.run:
        start = "scratch" if draft.begins_from == SCRATCH else f"its {draft.begins_from} checkpoint"
        rows["Experiment"] += f"\nagain, from {start} of run {draft.run[-6:]}"
    return Content("\n").join(
        Content.assemble((f"{name}\n", "bold $text-accent"), _indented(text))
        for name, text in rows.items()
    )


def _unchanged(draft: Draft) -> str:
    return "as that run had them" if draft.run else "all at their defaults"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
