"""Which scalars the curves show."""

from collections.abc import Collection, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList

from tui.widgets.choice_list import ChoiceList


class ScalarChoiceScreen(ModalScreen[list[str] | None]):
    """Asks for some of a run's scalars; answers None if the person stays with the present ones.

    `enter` alone takes the one that is pointed at; `space` marks several first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,s", "dismiss(None)", "Close"),
        Binding("space", "mark", "Mark"),
    ]

    def __init__(self, tags: Sequence[str], present: Collection[str]) -> None:
        """Say what there is to choose from."""
        super().__init__()
        self._tags = tags
        self._marked = {tag for tag in tags if tag in present}
        self._has_marked = False

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        choices = ChoiceList(id="scalars")
        choices.add_class("dialog")
        choices.border_title = "Scalars"
        choices.border_subtitle = "space marks several  ⏎ shows"
        yield choices

    def on_mount(self) -> None:
        """Begin at the first that is shown at present."""
        self._show(next((tag for tag in self._tags if tag in self._marked), None))

    def _show(self, preferred: str | None = None) -> None:
        lines = {tag: Content(f"{'✓' if tag in self._marked else ' '} {tag}") for tag in self._tags}
        self.query_one(ChoiceList).show(lines, preferred)

    def action_mark(self) -> None:
        """Mark the scalar that is pointed at, or take its mark away."""
        if tag := self.query_one(ChoiceList).chosen:
            self._marked ^= {tag}
            self._has_marked = True
            self._show()

    @on(OptionList.OptionSelected)
    def choose(self) -> None:
        """Answer with those that are marked, or else with the one that is pointed at."""
        chosen = self.query_one(ChoiceList).chosen
        marked = [tag for tag in self._tags if tag in self._marked]
        self.dismiss(marked if self._has_marked and marked else [chosen] if chosen else None)
