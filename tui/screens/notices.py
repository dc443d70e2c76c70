"""What was told while the app is open, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.words.wording import age

COLOURS = {"information": "$foreground", "warning": "$text-warning", "error": "$text-error"}
SIGNS = {"information": " ", "warning": "!", "error": "✗"}
"""For those who see no colours."""


@dataclass(frozen=True)
class Told:
    """Something that was told in passing, safe to show."""

    moment: datetime
    title: str
    text: str
    severity: str


class NoticesScreen(ModalScreen[None]):
    """Lists what toasts have said, since they go by quickly."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,m,q,enter", "dismiss", "Close")]

    def __init__(self, told: Sequence[Told], now: datetime) -> None:
        """Say what was told, oldest first, and what time it is."""
        super().__init__()
        self._told = told
        self._now = now

    def compose(self) -> ComposeResult:
        """Lay out what was told."""
        lines = [_lines(told, self._now) for told in reversed(self._told)]
        with Vertical(classes="dialog reading") as dialog:
            dialog.border_title = Content("Messages")  # type: ignore
            with VerticalScroll():
                yield Static(Content("\n").join(lines or [Content("Nothing was told yet.")]))


def _lines(told: Told, now: datetime) -> Content:
    indent = " " * len("1234 ! ")
    text = told.text.replace("\n", f"\n{indent}")
    return Content.assemble(
        (f"{age(told.moment, now):>4} ", "$foreground-muted"),
        (f"{SIGNS.get(told.severity, ' ')} ", COLOURS.get(told.severity, "")),
        (told.title or text, f"bold {COLOURS.get(told.severity, '')}" if told.title else ""),
        (f"\n{indent}{text}" if told.title and text else "", "$foreground-muted"),
    )
