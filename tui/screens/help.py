"""Which keys do what on the screen below."""

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class HelpScreen(ModalScreen[None]):
    """Lists keys over the screen that they belong to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,enter", "dismiss", "Close"),
    ]

    def __init__(self, keys: Mapping[str, str]) -> None:
        """Say what each key or group of keys does."""
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        """Lay out one line for each key."""
        width = max(map(len, self._keys.values()))
        lines = [
            Content.assemble((f"{key:>{width}}", "bold $text-accent"), f"  {what}")
            for what, key in self._keys.items()
        ]
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = "Keys"
            yield Static(Content("\n").join(lines))
