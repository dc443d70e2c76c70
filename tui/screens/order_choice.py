"""What comes first in the list of runs."""

from collections.abc import Mapping
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList

from rlmaster.run_index.order import RunOrder
from tui.widgets.choice_list import ChoiceList

ORDER_WORDS: Mapping[RunOrder, str] = {
    RunOrder.NEWEST: "newest first",
    RunOrder.OLDEST: "oldest first",
    RunOrder.CHANGED: "by last change",
    RunOrder.STATE: "by state",
    RunOrder.RESULT: "by result, best first",
    RunOrder.PROGRESS: "by what is done",
    RunOrder.ETA: "by time that is left",
    RunOrder.EXPERIMENT: "by experiment",
    RunOrder.GAME: "by game",
    RunOrder.AGENT: "by agent",
    RunOrder.EMBEDDER: "by embedder",
    RunOrder.HOST: "by host",
}


class OrderChoiceScreen(ModalScreen[RunOrder | None]):
    """Asks how the runs are sorted; answers None if they are to stay as they are."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,s", "dismiss(None)", "Close")]

    def __init__(self, present: RunOrder) -> None:
        """Say how they are sorted at present."""
        super().__init__()
        self._present = present

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        choices = ChoiceList(id="orders")
        choices.add_class("dialog")
        choices.border_title = "Sort"
        yield choices

    def on_mount(self) -> None:
        """Begin at the present one."""
        choices = {str(order): Content(words) for order, words in ORDER_WORDS.items()}
        self.query_one(ChoiceList).show(choices, self._present)

    @on(OptionList.OptionSelected)
    def choose(self) -> None:
        """Answer with the highlighted one."""
        if chosen := self.query_one(ChoiceList).chosen:
            self.dismiss(RunOrder(chosen))
