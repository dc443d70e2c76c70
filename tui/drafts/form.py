"""The form of an experiment's settings: what each field holds, what is typed, what is wrong."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from rlmaster.errors import SpecificationError
from rlmaster.grid import as_typed, number_of_runs, split_values
from tui.words.plain_text import one_line

RUN_GROUP = "run"
"""Heading of the fields that belong to no part."""
SWITCH_WORDS = ("true", "false")
ALL_SWITCH_WORDS = frozenset({*SWITCH_WORDS, "1", "0", "yes", "no", "on", "off"})
LONGEST_SHOWN = 40


@dataclass(frozen=True)
class FormField:
    """One field; every text but the name and the choices is safe to show."""

    name: str
    """Dotted, as `--set` takes it."""
    kind: str
    help: str
    allowed: str
    """What it accepts, in words."""
    script_text: str
    """The script's value, as one would type it."""
    default_text: str
    """Its default, as one would type it; empty where it has none."""
    choices: tuple[str, ...]
    bounds: Mapping[str, float]
    pattern: str

    @property
    def group(self) -> str:
        """The part that it belongs to."""
        return self.name.rpartition(".")[0] or RUN_GROUP

    @property
    def short_name(self) -> str:
        """Its name within its part."""
        return self.name.rpartition(".")[2]

    @property
    def options(self) -> tuple[str, ...]:
        """All values, where they are few enough to be gone through with a key."""
        return SWITCH_WORDS if self.kind == "switch" else self.choices


def parse_fields(answer: Mapping[str, Any]) -> list[FormField]:
    """Read the fields that `rlmaster experiments NAME --json` answers."""
    return [_field(entry) for entry in entries(answer, "fields")]


def _field(entry: Mapping[str, Any]) -> FormField:
    has_default = bool(entry.get("has_default"))
    return FormField(
        name=one_line(str(entry["name"])),
        kind=str(entry.get("kind")),
        help=one_line(str(entry.get("help") or "")),
        allowed=one_line(str(entry.get("allowed") or "")),
        script_text=one_line(as_typed(entry.get("value"))),
        default_text=one_line(as_typed(entry.get("default"))) if has_default else "",
        choices=tuple(one_line(str(choice)) for choice in entry.get("choices") or ()),
        bounds=entry.get("bounds") or {},
        pattern=str(entry.get("pattern") or ""),
    )


def parse_problems(answer: Mapping[str, Any]) -> dict[str, str]:
    """Read the problems that the command found, by their fields; empty for what is in none."""
    return {
        one_line(str(entry.get("field") or "")): one_line(str(entry.get("message") or ""))
        for entry in reversed(entries(answer, "problems"))
    }


def entries(answer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return a list of objects that a command answered; what is no object is passed over."""
    found = cast("list[object]", answer.get(key) or [])
    return [cast("Mapping[str, Any]", entry) for entry in found if isinstance(entry, dict)]


@dataclass
class Form:
    """All fields of an experiment, and what a person has typed into them."""

    fields: Sequence[FormField]
    changes: dict[str, str]
    """What was typed, by field, where that is not the script's value."""
    last_run: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The newest run's settings, by dotted names; empty where there is none."""
    told_problems: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the command found wrong when it was last asked, by field."""

    def text(self, shown: FormField) -> str:
        """Return what a field holds now."""
        return self.changes.get(shown.name, shown.script_text)

    def put(self, changed: FormField, text: str) -> None:
        """Take what was typed into a field; what the command said before counts no more."""
        self.told_problems = {}
        if text.strip() == changed.script_text:
            self.changes.pop(changed.name, None)
        else:
            self.changes[changed.name] = text.strip()

    def problem(self, judged: FormField) -> str:
        """Return what is wrong with a field, as a sentence; empty if nothing is known to be."""
        return problem_of(judged, self.text(judged)) or self.told_problems.get(judged.name, "")

    def first_problem(self) -> tuple[str, str]:
        """Return the first field that is wrong, and why; both empty where nothing is."""
        for judged in self.fields:
            if sentence := self.problem(judged):
                return judged.name, sentence
        names = {known.name for known in self.fields}
        rest = (item for item in self.told_problems.items() if item[0] not in names)
        return next(rest, ("", ""))

    def is_changed(self, shown: FormField) -> bool:
        """Tell whether it differs from the script."""
        return shown.name in self.changes

    def differs_from_default(self, shown: FormField) -> bool:
        """Tell whether it differs from its default."""
        return bool(shown.default_text) and not _is_same(self.text(shown), shown.default_text)

    def differs_from_last(self, shown: FormField) -> bool:
        """Tell whether it differs from the newest run of this experiment."""
        last = self.last_text(shown)
        return bool(last) and not _is_same(self.text(shown), last)

    def last_text(self, shown: FormField) -> str:
        """Return what the newest run of this experiment had; empty where that is not known."""
        if shown.name not in self.last_run:
            return ""
        return one_line(as_typed(self.last_run[shown.name]))

    def matching(self, words: str) -> list[FormField]:
        """Return the fields whose name or help has all of these words."""
        wanted = words.casefold().split()
        return [
            shown
            for shown in self.fields
            if all(word in f"{shown.name} {shown.help}".casefold() for word in wanted)
        ]


def number_of_runs_in(changes: Mapping[str, str]) -> int:
    """Return how many runs the changes stand for; 0 where a list is not right yet."""
    try:
        return number_of_runs(overrides(changes))
    except SpecificationError:
        return 0


def overrides(changes: Mapping[str, str]) -> list[str]:
    """Return changes as `--set` takes them."""
    return [f"{name}={text}" for name, text in changes.items()]


def set_options(changes: Mapping[str, str]) -> list[str]:
    """Return the command's options that make these changes."""
    return [word for override in overrides(changes) for word in ("--set", override)]


def _is_same(one: str, other: str) -> bool:
    return one == other or _parsed(one) == _parsed(other)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def problem_of(judged: FormField, text: str) -> str:
    """Return what is wrong with a text, as far as can be said without asking; else nothing."""
    values = split_values(text)
    if len(values) > 1 and "" in values:
        return "there is an empty value in the list"
    for value in values:
        if value != "null" and not _fits(judged, value):
            shown = value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}…"
            return f"{shown!r} is not allowed; it must be {judged.allowed}"
    return ""


def _fits(judged: FormField, value: str) -> bool:
    if judged.kind in ("integer", "number"):
        return all(_number_fits(judged, value))
    if judged.kind == "switch":
        return value.lower() in ALL_SWITCH_WORDS
    if judged.kind == "choice":
        return value in judged.choices
    if judged.kind == "list":
        return isinstance(_parsed(value), list)
    return not judged.pattern or re.search(judged.pattern, value) is not None


def _number_fits(judged: FormField, value: str) -> Iterator[bool]:
    """Yield for each demand on a number whether it holds; what is no number ends it."""
    try:
        number = float(value)
    except ValueError:
        yield False
        return
    bounds = judged.bounds
    yield math.isfinite(number)
    yield judged.kind != "integer" or number.is_integer()
    yield number >= bounds.get("minimum", -math.inf)
    yield number > bounds.get("above", -math.inf)
    yield number <= bounds.get("maximum", math.inf)
    yield number < bounds.get("below", math.inf)
