"""The first step of a run that is made again: what it takes along of the earlier one."""

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import OptionList, Static

from tui.drafts.draft import SCRATCH
from tui.steps.step import Step
from tui.widgets.choice_list import ChoiceList

STARTS = {
    SCRATCH: "its settings alone; any of them may be changed, and it trains from the beginning",
    "newest": "its frames and its newest networks; it goes on where that run ended",
    "best": "its frames and the networks that did best",
}


class StartStep(Step):
    """Asks whether a run begins anew, or from what an earlier one has learned."""

    title = "Start"

    def compose(self) -> ComposeResult:
        """Lay out the ways to begin."""
        yield Static(id="start-text")
        yield ChoiceList(id="starts")

    def enter(self) -> None:
        """Show the ways."""
        name = self._draft.experiment.name if self._draft.experiment else ""
        question = Content.assemble(
            "What does the new run take from this run of ", (name, "bold"), "?"
        )
        self.query_one("#start-text", Static).update(question)
        entries = {
            start: Content.assemble((start, "bold"), "\n  ", (about, "$foreground-muted"))
            for start, about in STARTS.items()
        }
        choices = self.query_one(ChoiceList)
        choices.show(entries, self._draft.begins_from)
        choices.focus()

    @on(OptionList.OptionHighlighted)
    def take(self) -> None:
        """Take the highlighted one."""
        self._draft.begins_from = self.query_one(ChoiceList).chosen or SCRATCH

    @on(OptionList.OptionSelected)
    def finish(self) -> None:
        """Go on with the highlighted one."""
        self.post_message(self.Done())
