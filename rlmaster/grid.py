"""Comma lists of values: `--set seed=1,2,3` is three runs, several lists are every combination.

    seed=1,2,3                   three runs
    embedder.channels=[32,64,64] one run: what is in brackets is one value
    name="a,b"                   one run: so is what is in quotes

A value that a list holds twice counts once.
"""

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence

from rlmaster.errors import Problem, SpecificationError

MOST_RUNS = 1000
"""A grid of more is more likely a slip than a wish."""
OPENING, CLOSING, QUOTE = "[{", "]}", '"'


def combinations(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the overrides of each run that a list of `field=value` stands for.

    The last list changes fastest. Of two assignments to one field, the later one counts.

    Raises:
        SpecificationError: If a value in a list is empty, or there would be far too many runs.
    """
    return [tuple(point) for point in itertools.product(*_choices(overrides).values())]


def number_of_runs(overrides: Sequence[str]) -> int:
    """Return how many runs a list of `field=value` stands for.

    Raises:
        SpecificationError: If a value in a list is empty, or there would be far too many runs.
    """
    return math.prod(map(len, _choices(overrides).values()))


def _choices(overrides: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return the assignments that are to be combined, by their fields."""
    choices: dict[str, list[str]] = {}
    for override in overrides:
        field, equals, text = override.partition("=")
        values = split_values(text)
        if len(values) > 1 and "" in values:
            sentence = "there is an empty value in the list"
            raise SpecificationError([Problem(field.strip(), sentence)])
        choices[field.strip()] = [f"{field}{equals}{value}" for value in values]
    number = math.prod(map(len, choices.values()))
    if number > MOST_RUNS:
        sentence = f"these lists make {number:,} runs; a grid has {MOST_RUNS:,} at most"
        raise SpecificationError([Problem("", sentence)])
    return choices


def split_values(text: str) -> list[str]:
    """Return the values of a comma list, each once; a text without commas is a list of one."""
    values, depth, is_quoted, start = list[str](), 0, False, 0
    for place, character in enumerate(text):
        if character == QUOTE and text[place - 1 : place] != "\\":
            is_quoted = not is_quoted
        elif not is_quoted:
            depth += (character in OPENING) - (character in CLOSING)
            if character == "," and depth == 0:
                values.append(text[start:place])
                start = place + 1
    values.append(text[start:])
    return list(dict.fromkeys(_unquoted(value.strip()) for value in values))


def _unquoted(value: str) -> str:
    """Return what is in quotes; what is not, or not quite, stays as it is."""
    if not (value.startswith(QUOTE) and value.endswith(QUOTE)):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def progress_line(number: int, of: int, host: str) -> str:
    """Say that a run of a grid is about to be launched, those before it being launched by then."""
    return f"launching {number} of {of} on {host}"


def number_launched(line: str) -> int | None:
    """Return how many runs a grid has launched by the time of a progress line; None of others."""
    found = re.match(r"launching (\d+) of \d+ on ", line)
    return int(found[1]) - 1 if found else None


def as_typed(value: object) -> str:
    """Return a value as one would type it behind `--set field=`."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
