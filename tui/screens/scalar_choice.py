"""Which scalar the curve shows."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList

from tui.widgets.choice_list import ChoiceList


class ScalarChoiceScreen(ModalScreen[str | None]):
    """Asks for one of a run's scalars; answers None if the person stays with the present one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,s", "dismiss(None)", "Close")]

    def __init__(self, tags: Sequence[str], present: str | None) -> None:
        """Say what there is to choose from."""
        super().__init__()
        self._tags = tags
        self._present = present

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        choices = ChoiceList(id="scalars")
        choices.add_class("dialog")
        choices.border_title = "Scalar"
        yield choices

    def on_mount(self) -> None:
        """Begin at the present one."""
        choices = self.query_one(ChoiceList)
        choices.show({tag: Content(tag) for tag in self._tags}, self._present)

    @on(OptionList.OptionSelected)
    def choose(self) -> None:
        """Answer with the highlighted one."""
        self.dismiss(self.query_one(ChoiceList).chosen)
