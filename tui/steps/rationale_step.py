"""The third step: why."""

from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import OptionList, Static, TextArea

from tui.children.commands import CommandLine
from tui.drafts.draft import Draft
from tui.messages import RationalesRead
from tui.reading.earlier_runs import read_rationales
from tui.steps.step import Step
from tui.threads import cancelled_event
from tui.widgets.choice_list import ChoiceList
from tui.widgets.editor import Editor
from tui.words.plain_text import one_line


class RationaleStep(Step):
    """Asks for a few words, with those of earlier runs of the same experiment at hand."""

    title = "Why"

    def __init__(self, draft: Draft, command: CommandLine, runs: Path, id: str) -> None:  # noqa: A002
        """Say which draft is filled in, and where earlier runs lie."""
        super().__init__(draft, command, id)
        self._runs = runs
        self._earlier: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        """Lay out the editor, and earlier rationales below."""
        yield Static("Why this run? What do you expect, and what would surprise you?")
        yield Editor(self._draft.rationale, id="rationale")
        yield ChoiceList(id="earlier")

    def on_mount(self) -> None:
        """Say what the list is."""
        earlier = self.query_one(ChoiceList)
        earlier.border_title = "Why earlier runs were made"
        earlier.border_subtitle = "tab goes here, enter takes one over"
        earlier.display = False

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
        self.post_message(self.Touched())

    @work(thread=True, exclusive=True)
    def _read_earlier(self, experiment: str) -> None:
        self.post_message(
            RationalesRead(read_rationales(self._runs, experiment, cancelled_event()))
        )

    @on(RationalesRead)
    def show_earlier(self, message: RationalesRead) -> None:
        """Show what was written before."""
        self._earlier = {str(number): text for number, text in enumerate(message.rationales)}
        earlier = self.query_one(ChoiceList)
        earlier.show({key: Content(one_line(text)) for key, text in self._earlier.items()})
        earlier.display = bool(message.rationales)

    @on(OptionList.OptionSelected)
    def take_over(self) -> None:
        """Begin with an earlier one; what is written already stays, above it."""
        editor = self.query_one(Editor)
        text = self._earlier[self.query_one(ChoiceList).chosen or ""]
        written = editor.text.rstrip()
        editor.text = f"{written}\n\n{text}" if written else text
        editor.move_cursor(editor.document.end)
        editor.focus()
