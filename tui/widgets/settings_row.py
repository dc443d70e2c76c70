"""How a row of a form is laid out, and the signs in front of it."""

from dataclasses import dataclass

from tui.drafts.form import Form, FormField

MARKS_WIDTH = 4
CHANGED, NOT_DEFAULT, NOT_LAST, WRONG = "*", "≠", "~", "!"
LEAST_VALUE_WIDTH, MOST_VALUE_WIDTH = 12, 34
LEAST_NAME_WIDTH = 8


@dataclass(frozen=True)
class Columns:
    """How wide each part of a row is, in cells."""

    name: int
    value: int
    help: int

    @classmethod
    def for_width(cls, width: int, longest_name: int) -> "Columns":
        """Share out a width: the name, then the value, then what it means."""
        room = max(0, width - MARKS_WIDTH - 2)
        name = max(min(longest_name, room // 2), min(LEAST_NAME_WIDTH, room))
        value = min(max(LEAST_VALUE_WIDTH, (room - name) // 2), MOST_VALUE_WIDTH, room - name)
        return cls(name, value, room - name - value)


def marks(form: Form, shown: FormField) -> str:
    """Return the signs of a field: whether it is wrong or changed, and what it differs from."""
    first = WRONG if form.problem(shown) else CHANGED if form.is_changed(shown) else " "
    second = NOT_DEFAULT if form.differs_from_default(shown) else " "
    return first + second + (NOT_LAST if form.differs_from_last(shown) else " ")


def colour_part(signs: str) -> str:
    """Return what the colour of a value says, by the weightiest of its signs; empty for nothing."""
    parts = {WRONG: "wrong", CHANGED: "changed", NOT_DEFAULT: "differs"}
    return next((part for sign, part in parts.items() if sign in signs), "")
