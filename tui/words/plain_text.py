"""Text that others wrote, made safe to show: it cannot move the cursor or upset widths."""

import re
import unicodedata
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor
    r"|(?:\x1b[P\]X^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links
    r"|\x1b[ -/]*[0-~]?"  # everything else
)
UNWANTED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, invisible formatting (text direction among it), half characters, odd line ends."""
VARIATION_SELECTORS = "\ufe0e\ufe0f"
"""They change how wide a terminal draws the character before them, each terminal in its own way."""


@lru_cache(maxsize=4096)
def _is_wanted(character: str) -> bool:
    if character == "\n":
        return True
    category = unicodedata.category(character)
    return category not in UNWANTED_CATEGORIES and character not in VARIATION_SELECTORS


def printable(text: str) -> str:
    """Return the text without anything but characters that show, and line ends."""
    text = ESCAPE_SEQUENCE.sub("", text.replace("\r\n", "\n")).expandtabs(4)
    if text.isascii() and text.isprintable():
        return text
    return "".join(filter(_is_wanted, text))


def log_line(line: str) -> str:
    """Return a line of a log as a terminal would leave it: a carriage return starts it anew."""
    return printable(line.rstrip("\r").rpartition("\r")[2]).replace("\n", " ")


def one_line(text: str) -> str:
    """Return the first line that says something."""
    return next((line.strip() for line in printable(text).splitlines() if line.strip()), "")


def unwrapped(text: str) -> str:
    """Return the text with the lines of each paragraph joined; lists and blank lines stay."""
    return re.sub(r"(?<=\S)\n(?=\w)", " ", text)


def fit(text: str, width: int) -> str:
    """Return the text in exactly `width` terminal cells, with an ellipsis where it was cut."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1).rstrip() + "…"
    return set_cell_size(text, width)
