"""The second step: why."""

from pathlib import Path

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static, TextArea

from rlmaster.run_folder import list_runs
from tui.commands import CommandLine
from tui.draft import Draft
from tui.messages import RationalesRead
from tui.plain_text import printable
from tui.steps.step import Step

SHOWN_RATIONALES = 5


class Editor(TextArea):
    """An editor that takes only what shows from the clipboard."""

    def on_paste(self, event: events.Paste) -> None:
        """Clean what is pasted before the editor inserts it."""
        event.text = printable(event.text)


class RationaleStep(Step):
    """Asks for a few words, and shows those of earlier runs of the same experiment."""

    title = "Why"

    def __init__(self, draft: Draft, command: CommandLine, runs: Path, id: str) -> None:  # noqa: A002
        """Say which draft is filled in, and where earlier runs lie."""
        super().__init__(draft, command, id)
        self._runs = runs

    def compose(self) -> ComposeResult:
        """Lay out the editor, and earlier rationales below."""
        yield Static("Why this run? What do you expect, and what would surprise you?")
        yield Editor(self._draft.rationale, id="rationale")
        with VerticalScroll(id="earlier"):
            yield Static(id="earlier-text")

    def enter(self) -> None:
        """Let the person write at once."""
        self.query_one(Editor).focus()
        if self._draft.experiment is not None:
            self._read_earlier(self._draft.experiment.name)

    def problem(self) -> str:
        """Ask for at least a word."""
        if self._draft.rationale.strip():
            return ""
        return "Write why first: in a month, these words are what tells this run from the others."

    @on(TextArea.Changed)
    def keep(self) -> None:
        """Keep each letter in the draft."""
        self._draft.rationale = self.query_one(Editor).text

    @work(thread=True, exclusive=True)
    def _read_earlier(self, experiment: str) -> None:
        earlier = [folder for folder in list_runs(self._runs) if folder.name == experiment]
        texts: list[str] = []
        for folder in earlier[:SHOWN_RATIONALES]:
            try:
                texts.append(printable(folder.rationale()))
            except OSError:
                continue
        self.post_message(RationalesRead(texts))

    @on(RationalesRead)
    def show_earlier(self, message: RationalesRead) -> None:
        """Show what was written before."""
        pane = self.query_one("#earlier")
        pane.display = bool(message.rationales)
        pane.border_title = "Earlier runs of this experiment"
        self.query_one("#earlier-text", Static).update(Content("\n\n").join(message.rationales))
