"""A place to write a few words."""

from textual import events
from textual.widgets import TextArea

from tui.words.plain_text import printable


class Editor(TextArea):
    """An editor that takes only what shows from the clipboard."""

    def on_paste(self, event: events.Paste) -> None:
        """Clean what is pasted before the editor inserts it."""
        event.text = printable(event.text)
