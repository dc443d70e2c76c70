"""What a form needs of an experiment: every field with its value, its default and what it accepts.

A field is named as `--set` names it. What is in brackets or quotes is JSON, as `--set` reads it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from rlmaster.durable_files import JsonObject
from rlmaster.experiment import Experiment
from rlmaster.experiment_data import meaningful
from rlmaster.specification import Specification, allowed_values, flattened

KINDS = {"integer": "integer", "number": "number", "boolean": "switch", "array": "list"}
"""What a field holds, by the word that JSON schema has for it; the rest is text."""
BOUNDS = {
    "minimum": "minimum",
    "exclusiveMinimum": "above",
    "maximum": "maximum",
    "exclusiveMaximum": "below",
}
"""Our words for bounds, by those of JSON schema."""


@dataclass(frozen=True)
class FormField:
    """One field of an experiment."""

    name: str
    """Dotted name, such as `training.updates`."""
    kind: str
    """`integer`, `number`, `switch`, `choice`, `list` or `text`."""
    allowed: str
    """What it accepts, in words, default included."""
    value: Any
    """Its value, as JSON data."""
    default: Any
    """Its default, as JSON data; null where it has none."""
    has_default: bool
    """Whether it may be left out."""
    differs_from_default: bool
    """Whether its value was chosen."""
    help: str
    """What it means, with unit and range."""
    choices: list[str] = field(default_factory=list[str])
    """All that it may be; empty where that is not a short list."""
    bounds: dict[str, float] = field(default_factory=dict[str, float])
    """Of `minimum`, `above`, `maximum` and `below`, those that it has."""
    pattern: str = ""
    """Regular expression that a text must match; empty where there is none."""


def form_fields(experiment: Experiment) -> list[JsonObject]:
    """Return every field of an experiment in order: those of no part, then part by part.

    Groups that mean nothing without an agent are left out where there is none.
    """
    values, defaults = flattened(meaningful(experiment.to_data())), flattened(experiment.defaults())
    values.setdefault("agent", None)
    found = _fields(experiment, "", values, defaults)
    return [asdict(field) for field in sorted(found, key=lambda field: "." in field.name)]


def _fields(
    part: Specification, prefix: str, values: JsonObject, defaults: JsonObject
) -> Iterator[FormField]:
    model = type(part)
    schema = cast("JsonObject", model.model_json_schema().get("properties", {}))
    for name, information in model.model_fields.items():
        path, held = f"{prefix}{name}", getattr(part, name)
        if isinstance(held, Specification):
            yield from _fields(held, f"{path}.", values, defaults)
            continue
        if path not in values:  # a mapping, whose entries `--set` cannot name
            continue
        own = _without_null(schema.get(name, {}))
        is_required = information.is_required()
        default = None if is_required else defaults.get(path)
        yield FormField(
            name=path,
            kind="choice" if "enum" in own else KINDS.get(str(own.get("type")), "text"),
            allowed=allowed_values(model, name),
            value=values[path],
            default=default,
            has_default=not is_required,
            differs_from_default=not is_required and values[path] != default,
            help=information.description or "",
            choices=[str(choice) for choice in own.get("enum", ())],
            bounds={word: own[key] for key, word in BOUNDS.items() if key in own},
            pattern=str(own.get("pattern", "")),
        )


def _without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a field that may be null holds when it is not."""
    options = cast("list[JsonObject]", schema.get("anyOf") or [])
    return next((option for option in options if option.get("type") != "null"), schema)
