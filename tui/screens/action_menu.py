"""A menu over a screen: a letter for each entry, or the arrow keys and Enter."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList

from tui.widgets.choice_list import ChoiceList


class Entry(NamedTuple):
    """One line of a menu."""

    name: str
    """What the menu answers with."""
    key: str
    """The letter that chooses it; may be empty."""
    words: Content


class ActionMenu(ModalScreen[str | None]):
    """Asks for one of a few things; answers None if the person wants none of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,a,q", "dismiss(None)", "Close"),
        Binding("j", "move('down')", "Down", show=False),
        Binding("k", "move('up')", "Up", show=False),
    ]

    def __init__(self, title: str, entries: Sequence[Entry]) -> None:
        """Say what there is to choose from, and of what."""
        super().__init__()
        self._title = title
        self._entries = entries

    def compose(self) -> ComposeResult:
        """Lay out the entries under what they are about."""
        with Vertical(classes="dialog menu") as dialog:
            dialog.border_title = Content(self._title)  # type: ignore
            yield ChoiceList(id="entries")

    def on_mount(self) -> None:
        """Begin with the first entry."""
        self.query_one(ChoiceList).show({entry.name: _line(entry) for entry in self._entries})

    def on_key(self, event: events.Key) -> None:
        """Choose the entry whose letter was pressed."""
        chosen = [entry for entry in self._entries if entry.key and entry.key == event.character]
        if chosen:
            event.stop()
            self.dismiss(chosen[0].name)

    def action_move(self, direction: str) -> None:
        """Move the highlight, as the arrow keys do."""
        choices = self.query_one(ChoiceList)
        choices.action_cursor_down() if direction == "down" else choices.action_cursor_up()

    @on(OptionList.OptionSelected)
    def choose(self) -> None:
        """Answer with the highlighted entry."""
        self.dismiss(self.query_one(ChoiceList).chosen)


def _line(entry: Entry) -> Content:
    return Content.assemble((f"{entry.key:<2} ", "bold $text-accent"), entry.words)
