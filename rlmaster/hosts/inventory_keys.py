"""What each key of `hosts.toml` may hold."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

KINDS = ("local", "ssh")
LATER_KINDS = ("slurm",)
REMOTE_KEYS = frozenset({"address", "workspace"})
"""Keys that mean something where a host is another computer."""
TAG_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MOST_SLOTS = 1024
ADDRESS_PATTERN = re.compile(r"[^\s-]\S{0,254}")


class WrongValueError(Exception):
    """What is wrong with one value; it is collected, and shown as an InventoryError."""


def _slots(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SLOTS:
        return value
    raise WrongValueError(f"must be a whole number from 1 to {MOST_SLOTS:,}, not {shown(value)}")


def _text(value: object) -> str:
    if isinstance(value, str) and (not value or value.isprintable()):
        return value
    raise WrongValueError(f"must be one line of text, not {shown(value)}")


def _python(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and re.fullmatch(r"~?/.+|[^/]+", value):
        return value
    raise WrongValueError(
        "must be an interpreter's absolute path, a path under ~/ or a name on PATH, "
        f"not {shown(value)}"
    )


def _workspace(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and re.fullmatch(r"~?/+[^/].*", value):
        return value
    raise WrongValueError(f"must be a folder's absolute path, or one under ~/, not {shown(value)}")


def _address(value: object) -> str:
    # With a dash first, ssh would take it for an option.
    if isinstance(value, str) and value.isprintable() and ADDRESS_PATTERN.fullmatch(value):
        return value
    raise WrongValueError(
        f"must be a name from the ssh configuration or user@host:port, not {shown(value)}"
    )


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        tags = cast("list[object]", value)
        wrong = [tag for tag in tags if not (isinstance(tag, str) and TAG_PATTERN.fullmatch(tag))]
        if not wrong:
            return tuple(cast("list[str]", tags))
        value = wrong[0]
    raise WrongValueError(
        "must be a list of words of up to 64 letters, digits, `.`, `_` and `-`, with a letter or "
        f"digit first, not {shown(value)}"
    )


def _kind(value: object) -> str:
    if value in KINDS:
        return cast("str", value)
    if value in LATER_KINDS:
        raise WrongValueError(f'"{value}" is not accepted yet; there is "local" and "ssh"')
    raise WrongValueError(f'must be "local" or "ssh", not {shown(value)}')


DEFAULT_KEYS: Mapping[str, Callable[[object], Any]] = {
    "workspace": _workspace,
    "python": _python,
    "cpu_slots": _slots,
    "slots_per_gpu": _slots,
}
"""Checks and converts the value of each key of `[defaults]`."""
HOST_KEYS: Mapping[str, Callable[[object], Any]] = {
    "kind": _kind,
    "address": _address,
    **DEFAULT_KEYS,
    "tags": _tags,
    "notes": _text,
}
"""Checks and converts the value of each key of a host."""


def shown(value: object) -> str:
    """Return a value as TOML would have it, or nearly, and not at length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
