"""Filters of the list of runs: words, and `key:value`, turned into a condition for the index.

    state:failed,lost          one of several
    since:7d  since:2026-11-20 made within the last 7 days, or from that day on
    standing:best              best so far when it ended; or worst
    agent:doubledqn            who plays; style:frozen says how its encoder is trained
    embedder.latent_dim:64     any field of the experiment
    training.updates:>=1000    numbers may be compared: <, <=, >, >=
    ball                       a word, anywhere in name, id, rationale, conclusion and tags

All filters must hold. Upper and lower case are the same.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rlmaster.errors import UsageError, near_match
from rlmaster.run_status import State

TEXT_KEYS = (
    *("id", "state", "game", "host", "slot"),
    *("embedder", "agent", "style", "metric", "phase"),
)
"""Columns of the index that are compared as they are, and so are their own keys."""
NUMBER_COLUMNS: Mapping[str, str] = {"result": "value", "attempt": "attempt"}
"""Keys that stand for one number of a run."""
OTHER_KEYS = ("name", "experiment", "tag", "since", "standing")
KEYS = (*TEXT_KEYS, *NUMBER_COLUMNS, *OTHER_KEYS)
STANDINGS = ("best", "worst")
AGE_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LONGEST_FILTER = 1000
MOST_FILTERS = 50

_COMPARISON = re.compile(r"(<=|>=|<|>)(.*)", re.DOTALL)
_FIELD = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
"""A field of a specification: Python names with dots between them."""
_AGE = re.compile(r"([0-9]{1,6})([mhdw])")


@dataclass(frozen=True)
class RunQuery:
    """A condition on runs, as the index understands it."""

    sql: str = "1"
    parameters: tuple[str | float | bytes, ...] = ()

    def __and__(self, other: "RunQuery") -> "RunQuery":
        return RunQuery(f"({self.sql}) AND ({other.sql})", (*self.parameters, *other.parameters))

    def __or__(self, other: "RunQuery") -> "RunQuery":
        return RunQuery(f"({self.sql}) OR ({other.sql})", (*self.parameters, *other.parameters))


ALL_RUNS = RunQuery()


def parse_query(
    filters: Sequence[str],
    config_fields: Callable[[], Collection[str]] = tuple,
    now: datetime | None = None,
) -> RunQuery:
    """Turn filters into a condition, in which all of them hold.

    Args:
        filters: Words and `key:value`, as they were typed.
        config_fields: Gives the fields that experiments have, by their dotted names.
        now: What ages are counted from; the present by default.

    Raises:
        UsageError: For a key that there is not (with near matches), or a value that its key cannot
            have.
    """
    if len(filters) > MOST_FILTERS or any(len(text) > LONGEST_FILTER for text in filters):
        raise UsageError(
            f"a list takes {MOST_FILTERS} filters of {LONGEST_FILTER} characters at most; "
            "leave some out, or take the rest from `rlmaster runs --json`"
        )
    query = ALL_RUNS
    for text in filters:
        key, colon, value = text.partition(":")
        if not colon:
            query &= RunQuery("instr(words, ?)", (text.casefold(),))
        elif not value:
            raise UsageError(f"the filter {text!r} has no value; write it {key}:VALUE")
        else:
            query &= _condition(key.lower(), value, config_fields, now or datetime.now(UTC))
    return query


def _condition(
    key: str, value: str, config_fields: Callable[[], Collection[str]], now: datetime
) -> RunQuery:
    if key in TEXT_KEYS:
        return _any_of(value, lambda one: _text_condition(key, one))
    if key in NUMBER_COLUMNS:
        return _number_condition(key, value)
    if key in ("name", "experiment"):
        return _any_of(value, lambda one: RunQuery("instr(casefold(name), ?)", (one.casefold(),)))
    if key == "tag":
        has_tag = "EXISTS (SELECT 1 FROM json_each(tags) WHERE casefold(json_each.value) = ?)"
        return _any_of(value, lambda one: RunQuery(has_tag, (one.casefold(),)))
    if key == "standing":
        return _any_of(value, _standing_condition)
    if key == "since":
        return RunQuery("created >= ?", (_moment(value, now).isoformat(timespec="milliseconds"),))
    return _config_condition(key, value, config_fields())


def _any_of(value: str, condition: Callable[[str], RunQuery]) -> RunQuery:
    """Join what each of a comma list demands."""
    first, *others = value.split(",")
    query = condition(first)
    for other in others:
        query |= condition(other)
    return query


def _text_condition(key: str, value: str) -> RunQuery:
    if key == "state" and value.casefold() not in list(State):
        hint = near_match(value, State) or f"; the states are {', '.join(State)}"
        raise UsageError(f"there is no state {value!r}{hint}")
    if key == "game":  # by any spelling, as a specification takes it
        value = re.sub(r"[^a-z0-9]", "", value.lower())
        return RunQuery("replace(game, '_', '') = ?", (value,))
    return RunQuery(f"casefold({key}) = ?", (value.casefold(),))


def _standing_condition(value: str) -> RunQuery:
    if value.lower() not in STANDINGS:
        raise UsageError(f"standing is {' or '.join(STANDINGS)}, not {value!r}")
    return RunQuery("standing LIKE ?", (f"{value} so far%",))


def _number_condition(key: str, value: str) -> RunQuery:
    operator, number = _comparison(value)
    if number is None:
        raise UsageError(
            f"{key} is compared with a number, such as '{key}:<0.01', and {value!r} is none"
        )
    return RunQuery(f"{NUMBER_COLUMNS[key]} {operator} ?", (number,))


def _moment(value: str, now: datetime) -> datetime:
    """Return when a day or an age, such as `7d`, begins."""
    try:
        if age := _AGE.fullmatch(value.lower()):
            return now - timedelta(seconds=int(age[1]) * AGE_UNITS_S[age[2]])
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"since is an age such as 30m, 12h, 7d or 2w, or a day such as 2026-11-20, "
            f"and {value!r} is neither"
        ) from None


def _config_condition(key: str, value: str, fields: Collection[str]) -> RunQuery:
    """Compare a field of the experiment; names are matched whatever their case."""
    names = [name for name in fields if name.lower() == key and _FIELD.fullmatch(name)]
    if not names:
        hint = near_match(key, [*KEYS, *fields])
        raise UsageError(
            f"runs have no key {key!r}{hint or '; there are ' + ', '.join(KEYS)}"
            f"{'' if hint else ', and the fields of experiments, such as embedder.latent_dim'}"
        )
    path = f'$."{names[0]}"'
    operator, number = _comparison(value)
    field = "json_extract(config_json, ?)"
    if number is not None:
        return RunQuery(
            f"json_type(config_json, ?) IN ('integer', 'real') AND {field} {operator} ?",
            (path, path, number),
        )
    if operator != "=":
        raise UsageError(f"only numbers can be compared, and {value!r} is none")
    if value.startswith("["):
        return RunQuery(f"{field} = ?", (path, re.sub(r"\s", "", value)))
    return _any_of(value, lambda one: _config_text_condition(path, one))


def _config_text_condition(path: str, value: str) -> RunQuery:
    number = _number(value)
    if number is not None:
        return RunQuery("json_extract(config_json, ?) = ?", (path, number))
    text = RunQuery("casefold(json_extract(config_json, ?)) = ?", (path, value.casefold()))
    if value.lower() in ("true", "false", "null"):
        text |= RunQuery("json_type(config_json, ?) = ?", (path, value.lower()))
    return text


def _comparison(value: str) -> tuple[str, float | None]:
    """Split an operator from its number, which is None where there is none."""
    compared = _COMPARISON.fullmatch(value)
    operator, text = (compared[1], compared[2]) if compared else ("=", value)
    return operator, _number(text)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number == number else None
