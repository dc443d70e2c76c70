"""A line of text while it is typed."""

from dataclasses import dataclass
from typing import ClassVar

from tui.words.plain_text import one_line


@dataclass
class LineEdit:
    """Text, and where the next character goes."""

    text: str
    cursor: int

    KEYS: ClassVar[dict[str, str]] = {
        "left": "_left",
        "right": "_right",
        "home": "_home",
        "ctrl+a": "_home",
        "end": "_end",
        "ctrl+e": "_end",
        "backspace": "_delete_left",
        "delete": "_delete_right",
        "ctrl+d": "_delete_right",
        "ctrl+u": "_delete_to_start",
        "ctrl+k": "_delete_to_end",
    }

    @classmethod
    def of(cls, text: str) -> "LineEdit":
        """Begin behind a text."""
        return cls(text, len(text))

    def press(self, key: str, character: str | None) -> bool:
        """Take a key, and tell whether it meant anything here."""
        if key in self.KEYS:
            getattr(self, self.KEYS[key])()
            return True
        if character is None or not character.isprintable():
            return False
        self.insert(character)
        return True

    def insert(self, text: str) -> None:
        """Put text where the cursor is; of several lines the first that says something."""
        added = text if text == " " else one_line(text)
        self.text = self.text[: self.cursor] + added + self.text[self.cursor :]
        self.cursor += len(added)

    def window(self, width: int) -> tuple[str, str, str]:
        """Return what is seen in so many characters: before, under and behind the cursor."""
        start = max(0, self.cursor - max(width - 1, 0))
        seen, cursor = self.text[start : start + width].ljust(width), self.cursor - start
        return seen[:cursor], seen[cursor : cursor + 1] or " ", seen[cursor + 1 :]

    def _left(self) -> None:
        self.cursor = max(0, self.cursor - 1)

    def _right(self) -> None:
        self.cursor = min(len(self.text), self.cursor + 1)

    def _home(self) -> None:
        self.cursor = 0

    def _end(self) -> None:
        self.cursor = len(self.text)

    def _delete_left(self) -> None:
        if self.cursor:
            self.text = self.text[: self.cursor - 1] + self.text[self.cursor :]
            self.cursor -= 1

    def _delete_right(self) -> None:
        self.text = self.text[: self.cursor] + self.text[self.cursor + 1 :]

    def _delete_to_start(self) -> None:
        self.text, self.cursor = self.text[self.cursor :], 0

    def _delete_to_end(self) -> None:
        self.text = self.text[: self.cursor]
