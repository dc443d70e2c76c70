"""The line in which one types what the runs of a list shall have."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from tui.words.plain_text import one_line


class FilterLine(Input):
    """Words and `key:value`; enter or an arrow down leaves them as they are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,down", "leave", "To the list", key_display="⏎"),
        Binding("escape", "screen.back", "No filter"),
    ]

    class Left(Message):
        """The person is done with typing."""

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Begin empty."""
        hint = "words, or key:value such as state:failed since:7d game:pong tag:x"
        super().__init__(id=id, placeholder=hint, compact=True, select_on_focus=False)

    def on_paste(self, event: events.Paste) -> None:
        """Clean what is pasted before the line takes it."""
        event.text = one_line(event.text)

    def action_leave(self) -> None:
        """Say that the list is next."""
        self.post_message(self.Left())
