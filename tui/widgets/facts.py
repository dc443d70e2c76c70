"""Facts with labels, one under another; a long one is wrapped beside its label."""

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static


class Fact(Horizontal):
    """A label and what is said under it."""

    def __init__(self, label: str, text: Content) -> None:
        """Begin with a text."""
        super().__init__()
        self._label = label
        self._text = text

    def compose(self) -> ComposeResult:
        """Put them side by side."""
        yield Static(Content(self._label), classes="fact-label")
        yield Static(self._text, classes="fact-text")

    def say(self, text: Content) -> None:
        """Change the text."""
        if text != self._text:
            self._text = text
            self.query_one(".fact-text", Static).update(text)


class Facts(VerticalScroll):
    """What is known of something, each with its label."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002  Textual's word
        """Begin with nothing known."""
        super().__init__(id=id)
        self._facts: dict[str, Fact] = {}

    def show(self, facts: Mapping[str, Content]) -> None:
        """Show these facts instead of those before."""
        if list(facts) == list(self._facts):
            for label, text in facts.items():
                self._facts[label].say(text)
            return
        self.remove_children()
        self._facts = {label: Fact(label, text) for label, text in facts.items()}
        self.mount_all(self._facts.values())
