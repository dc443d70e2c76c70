"""What commands answer, of which nothing is trusted: what is of another kind counts as missing."""

import math
from typing import Any, cast

from tui.children.commands import JsonObject
from tui.words.plain_text import one_line


def object_in(value: object) -> JsonObject:
    """Return an object; an empty one for what is none."""
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def objects_in(value: object) -> list[JsonObject]:
    """Return the objects in a list; none where there is no list."""
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("JsonObject", one) for one in found if isinstance(one, dict)]


def texts_in(value: object) -> tuple[str, ...]:
    """Return the texts in a list, each on one line and safe to show."""
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return tuple(one_line(text) for text in found if isinstance(text, str))


def text_in(value: object) -> str:
    """Return a text on one line and safe to show; an empty one for what is none."""
    return one_line(value) if isinstance(value, str) else ""


def number_in(value: object) -> float | None:
    """Return a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None


def whole_in(value: object) -> int | None:
    """Return a whole number, or None."""
    number = number_in(value)
    return None if number is None else int(number)
