"""What every specification shares: strict fields, readable problems, overrides, lossless JSON.

A specification is data. It never imports what it describes: a part that something is built from
names its class as `module:Class`, and the learning side resolves that name.
"""

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from copy import copy
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar, cast, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from rlmaster.errors import Problem, SpecificationError, near_match

JSON_TYPE_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list such as [32, 64]",
    "object": "a group of fields",
    "null": "null",
}
LIST_OF_TEXTS = 'a list such as ["one", "two"]'


class _SpecificationClass(type(BaseModel)):
    """Makes calling a specification raise our own error; nested parts still report together.

    A subclass that gives a field another default keeps its range and, unless it has one of its own,
    its sentence.
    """

    if (
        not TYPE_CHECKING
    ):  # the signature that pydantic gives each class is what checkers should see

        def __new__(
            mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
        ) -> Any:
            inherited = {
                field: known
                for base in reversed(bases)
                for field, known in getattr(base, "__pydantic_fields__", {}).items()
            }
            for field in inherited.keys() & namespace.keys():
                if not isinstance(namespace[field], FieldInfo):
                    changed = copy(inherited[field])
                    changed.default, changed.description = namespace[field], None
                    namespace[field] = changed
            made = super().__new__(mcs, name, bases, namespace, **options)
            without = [f for f in inherited if made.model_fields[f].description is None]
            for field in without:
                made.model_fields[field].description = inherited[field].description
            if without:
                made.model_rebuild(force=True)
            return made

        def __call__(cls, **values: Any) -> Any:
            try:
                return super().__call__(**values)
            except ValidationError as error:
                raise SpecificationError(describe_problems(cls, error)) from None


class Specification(BaseModel, metaclass=_SpecificationClass):
    """A frozen group of fields; the sentence under each field is its description.

    Creating one raises a SpecificationError with one problem for each field that does not hold.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a specification from what `to_data` gave.

        Raises:
            SpecificationError: With one problem for each field that does not hold.
        """
        return cls(**data)

    def to_data(self) -> dict[str, Any]:
        """Return the fields as JSON data, nested parts included."""
        return self.model_dump(mode="json")


class Part(Specification):
    """A specification that a class is built from, possibly one of the user's own.

    In JSON it carries `type`, the `module:Class` of the specification itself, so that a field can
    hold any subclass and still be read back.
    """

    builds: ClassVar[str]
    """The class that is built from it, as `module:Class`; resolved on the learning side only."""

    @model_validator(mode="after")
    def _names_what_it_builds(self) -> Self:
        if ":" not in str(getattr(type(self), "builds", "")):
            raise ValueError(
                f"{type(self).__name__} does not name what it builds; give the class a line "
                '`builds: ClassVar[str] = "module:Class"`'
            )
        return self

    @model_serializer(mode="wrap")
    def _serialise_with_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"type": _type_name(type(self)), **handler(self)}


def _type_name(part: type[Part]) -> str:
    """Return the name by which a part is found again, `module:Class`."""
    return f"{part.__module__}:{part.__qualname__}"


S = TypeVar("S", bound=Specification)
P = TypeVar("P", bound=Part)


def resolve(name: str) -> Any:
    """Import what `module:Class` names.

    Raises:
        ValueError: If the name has no colon, there is no such class, or its module fails.
    """
    module_name, _, class_name = name.partition(":")
    try:
        return attrgetter(class_name)(importlib.import_module(module_name))
    except Exception as error:  # importing a user's module runs it, and may raise anything
        raise ValueError(f"{name!r} cannot be imported as module:Class ({error})") from error


def _rebuild_part(value: Any) -> Any:
    """Turn JSON data with a `type` into the part of that type; leave everything else alone."""
    if not isinstance(value, Mapping):
        return value
    data = dict(cast("Mapping[str, Any]", value))
    if "type" not in data:
        return data
    part = resolve(str(data.pop("type")))
    if not (isinstance(part, type) and issubclass(part, Part)):
        # pydantic turns a ValueError into a problem of the field, and lets a TypeError through
        raise ValueError("`type` must name a specification as module:Class")  # noqa: TRY004
    try:
        return part(**data)
    except SpecificationError as error:
        problems = [{"field": p.field, "message": p.message} for p in error.problems]
        raise PydanticCustomError("part", "invalid part", {"problems": problems}) from None


AnyPart = Annotated[SerializeAsAny[P], BeforeValidator(_rebuild_part)]
"""`AnyPart[Embedder]`: a field that holds any subclass of Embedder and survives JSON."""


def at_defaults(specification: S) -> S:
    """Return it with every field that has a default left at it; required fields keep their values.

    What comes of it need not hold together, so it is for comparing only.
    """
    fields = type(specification).model_fields.items()
    kept = {name: getattr(specification, name) for name, field in fields if field.is_required()}
    return type(specification).model_construct(**kept)


def digest(data: Mapping[str, Any]) -> str:
    """Return a SHA-256 of JSON data, the same whatever the order of its keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


# --------------------------------------------------------------------------------- overrides


def with_overrides(specification: S, overrides: Sequence[str]) -> S:
    """Return a copy with `a.b=c` assignments applied, each value typed by its field.

    A field that holds a part is assigned by the name of its class, as in `embedder=Autoencoder`,
    which is then at its defaults but for what other assignments say, or `null` where it may be
    left out.

    Raises:
        SpecificationError: For an unknown field (with near matches) or a value that does not fit.
    """
    data = specification.to_data()
    problems: list[Problem] = []
    assigned: list[tuple[list[str], str]] = []
    for override in overrides:
        path, equals, text = override.partition("=")
        names, value = path.strip().split("."), text.strip()
        offered = _offered_parts(type(specification), names)
        if not equals:
            problems.append(Problem(override, "an override is written field=value, such as seed=3"))
        elif value in offered:
            part = offered[value]
            specification = specification.model_copy(update={names[0]: part})
            data[names[0]] = None if part is None else {"type": _type_name(type(part))}
        elif offered:
            hint = near_match(value, offered) or f"; there are {', '.join(offered)}"
            problems.append(Problem(path.strip(), f"there is no {value!r} to choose{hint}"))
        else:
            assigned.append((names, value))
    for names, value in assigned:
        if problem := _unknown_field(specification, names):
            problems.append(problem)
        else:
            _assign(data, names, _parse(value))
    try:
        changed = type(specification).from_data(data)
    except SpecificationError as error:
        raise SpecificationError([*problems, *error.problems]) from None
    if problems:
        raise SpecificationError(problems)
    return changed


def _offered_parts(model: type[BaseModel], names: Sequence[str]) -> Mapping[str, Part | None]:
    """Return the parts that a field may hold, by what they are called; none for other fields.

    They are at their defaults, and required fields have no value yet.
    """
    field = model.model_fields.get(names[0])
    if field is None or len(names) > 1:
        return {}
    alternatives = get_args(field.annotation) or (field.annotation,)
    kinds = [getattr(kind, "__origin__", kind) for kind in alternatives]  # out of Annotated
    found: dict[str, Part | None] = {
        name: part.model_construct()
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, Part)
        for name, part in _subclasses(kind).items()
        if hasattr(part, "builds")
    }
    return {**found, "null": None} if found and type(None) in kinds else found


def _subclasses(part: type[Part]) -> dict[str, type[Part]]:
    """Return a class and all below it, the user's own included, by name."""
    found = {part.__name__: part}
    for below in part.__subclasses__():
        found |= _subclasses(below)
    return found


def _unknown_field(specification: Specification, names: Sequence[str]) -> Problem | None:
    """Say what is wrong with a dotted path, or return None where it leads to one value."""
    current: object = specification
    for depth, name in enumerate(names):
        if not isinstance(current, Specification):
            choices = (
                ", ".join(_offered_parts(type(specification), names[:1])) if depth == 1 else ""
            )
            hint = f"; choose one first, {names[0]}= {choices}" if choices else ""
            return Problem(
                ".".join(names), f"{names[depth - 1]} is one value, it has no fields{hint}"
            )
        known = type(current).model_fields
        if name not in known:
            within = f" in {'.'.join(names[:depth])}" if depth else ""
            names_known = f"its fields are {', '.join(known)}" if known else "it has no fields"
            hint = near_match(name, known) or f"; {names_known}"
            return Problem(".".join(names), f"there is no field {name!r}{within}{hint}")
        current = getattr(current, name, None)
    if isinstance(current, Specification):
        inner = ", ".join(f"{names[-1]}.{field}" for field in type(current).model_fields)
        return Problem(".".join(names), f"is a group of fields; set one of them: {inner}")
    return None


def _assign(data: dict[str, Any], names: Sequence[str], value: object) -> None:
    for name in names[:-1]:
        data = data[name]
    data[names[-1]] = value


def _parse(text: str) -> object:
    """Read lists and null as JSON; leave the rest as text, which the field's own type converts."""
    if text.startswith("[") or text == "null":
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


def flattened(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested JSON data as one level of dotted names, such as `training.updates`."""
    flat: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            flat |= flattened(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def differing_fields(data: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Return the dotted names whose values differ from the defaults, in the order of `data`."""
    usual = flattened(defaults)
    return [
        name for name, value in flattened(data).items() if name not in usual or usual[name] != value
    ]


# ------------------------------------------------------------------------- readable problems


def describe_problems(model: type[BaseModel], error: ValidationError) -> list[Problem]:
    """Turn pydantic's errors into one sentence each: the field, the value, what would be right."""
    problems: list[Problem] = []
    for details in error.errors(include_url=False):
        path = ".".join(str(part) for part in details["loc"])
        if details["type"] == "part":
            inner = cast("list[dict[str, str]]", details.get("ctx", {})["problems"])
            problems += [
                Problem(".".join(filter(None, (path, p["field"]))), p["message"]) for p in inner
            ]
        else:
            problems.append(Problem(path, _sentence(model, details)))
    return problems


def _sentence(model: type[BaseModel], details: ErrorDetails) -> str:
    kind, value = details["type"], details["input"]
    owner, name = _owner(model, details["loc"])
    if kind == "extra_forbidden":
        known = owner.model_fields
        return "there is no such field" + (
            near_match(name, known) or f"; the fields are {', '.join(known)}"
        )
    if kind == "missing":
        return f"is missing; it must be {allowed_values(owner, name)}"
    if kind == "value_error":
        return str(details.get("ctx", {}).get("error", details["msg"]))
    return f"{_shown(value)} is not allowed; it must be {allowed_values(owner, name)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _owner(model: type[BaseModel], location: Sequence[int | str]) -> tuple[type[BaseModel], str]:
    """Find the model that owns the field at an error's location, and the field's name."""
    name = str(location[0]) if location else ""
    for part in location[1:]:
        field = model.model_fields.get(name)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model, name = inner, str(part)
    return model, name


def allowed_values(model: type[BaseModel], name: str) -> str:
    """Describe in words what a field accepts: its type, range, choices and default."""
    properties = model.model_json_schema().get("properties", {})
    schema = cast("dict[str, Any]", properties.get(name, {}))
    field = model.model_fields.get(name)
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if choices := choices or list(_offered_parts(model, [name])):
        words = "one of " + ", ".join(str(choice) for choice in choices)
    else:
        item = cast("dict[str, Any]", (schema.get("prefixItems") or [schema.get("items", {})])[0])
        words = JSON_TYPE_WORDS.get(str(schema.get("type", "")), "a valid value")
        words = LIST_OF_TEXTS if item.get("type") == "string" else words
        words += _range(schema)
        if item_range := _range(item):
            words += f", each {JSON_TYPE_WORDS[item['type']]}{item_range}"
    if "pattern" in schema:
        words = str(schema.get("pattern_in_words", f"{words} that matches {schema['pattern']}"))
    if field is not None and not field.is_required() and "default" in schema:
        words += f" (default {json.dumps(schema['default'])})"
    return words


def _range(schema: Mapping[str, Any]) -> str:
    bounds = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
        "minItems": "with at least this many items:",
    }
    found = [f"{word} {schema[key]}" for key, word in bounds.items() if key in schema]
    return f", {' and '.join(found)}" if found else ""
