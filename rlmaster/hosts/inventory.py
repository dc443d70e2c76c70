"""The inventory: which computers runs may use, from `hosts.toml`."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rlmaster.errors import InventoryError, near_match
from rlmaster.hosts.slots import SlotRules

KINDS = ("local",)
LATER_KINDS = ("ssh", "slurm")
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a shell, tmux and a TOML key take as it is."""
MOST_SLOTS = 1024


@dataclass(frozen=True)
class Host:
    """A computer that runs may use."""

    name: str
    """What people call it."""
    kind: str = "local"
    """How it is reached; `local` is the computer that RLmaster runs on."""
    cpu_slots: int | None = None
    """Runs at a time where there is no GPU, 1 to 1,024; None for two, or one on a single core."""
    slots_per_gpu: int = 1
    """Runs at a time on each GPU, 1 to 1,024."""
    python: str | None = None
    """Interpreter that runs are made with: an absolute path, one under `~/`, or a name on PATH."""
    notes: str = ""
    """What people should know when they choose it."""

    @property
    def slot_rules(self) -> SlotRules:
        """How many runs it is given at a time."""
        return SlotRules(self.cpu_slots, self.slots_per_gpu)


@dataclass(frozen=True)
class Inventory:
    """Every computer that runs may use, in the order of the file."""

    hosts: tuple[Host, ...]
    path: Path
    """The file it was read from, whether there is one or not."""

    def find(self, name: str) -> Host:
        """Return the host of a name.

        Raises:
            InventoryError: If there is none; names that come near are listed.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        known = [host.name for host in self.hosts]
        raise InventoryError(f"there is no host {name!r} in {self.path}{_hint(name, known)}")


def read_inventory(path: Path) -> Inventory:
    """Read `hosts.toml`; where there is none, or it names no host, there is this computer alone.

    Raises:
        InventoryError: If it is not valid; each problem is named with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except UnicodeDecodeError as error:
        raise InventoryError(f"{path} is not text in UTF-8; save it as such") from error
    except OSError as error:
        raise InventoryError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InventoryError(f"{path} is not valid TOML: {error}") from error
    return _Reader(path, text).inventory(data)


class _Problem(Exception):  # noqa: N818  collected, and shown as an InventoryError
    """What is wrong with one value."""


def _slots(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SLOTS:
        return value
    raise _Problem(f"must be a whole number from 1 to {MOST_SLOTS:,}, not {_shown(value)}")


def _text(value: object) -> str:
    if isinstance(value, str) and (not value or value.isprintable()):
        return value
    raise _Problem(f"must be one line of text, not {_shown(value)}")


def _python(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and re.fullmatch(r"~?/.+|[^/]+", value):
        return value
    raise _Problem(
        "must be an interpreter's absolute path, a path under ~/ or a name on PATH, "
        f"not {_shown(value)}"
    )


def _kind(value: object) -> str:
    if value in KINDS:
        return cast("str", value)
    if value in LATER_KINDS:
        raise _Problem(f'"{value}" is not accepted yet: this version runs on kind "local" only')
    raise _Problem(f'must be "local", not {_shown(value)}')


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)  # as TOML would have it, or nearly
    return text if len(text) <= 60 else f"{text[:57]}..."


_DEFAULT_FIELDS: Mapping[str, Callable[[object], Any]] = {
    "cpu_slots": _slots,
    "slots_per_gpu": _slots,
    "python": _python,
}
_HOST_FIELDS = {"kind": _kind, **_DEFAULT_FIELDS, "notes": _text}


class _Reader:
    """Turns the file's data into hosts, and gathers what is wrong with it on the way."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()
        self._problems: list[str] = []

    def inventory(self, data: Mapping[str, Any]) -> Inventory:
        for key in data:
            if key not in ("defaults", "hosts"):
                self._refuse((), key, _unknown("table", key, ["defaults", "hosts"]))
        defaults = self._fields(("defaults",), self._table((), "defaults", data), _DEFAULT_FIELDS)
        hosts = tuple(self._hosts(self._table((), "hosts", data), defaults))
        if self._problems:
            raise InventoryError("\n".join(self._problems))
        return Inventory(hosts or (Host("local", **defaults),), self._path)

    def _hosts(self, tables: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Host]:
        for name in tables:
            if not NAME_PATTERN.fullmatch(name) or name == "auto":
                self._refuse(("hosts",), name, _bad_name(name))
                continue
            place = ("hosts", name)
            table = self._table(("hosts",), name, tables)
            fields = {**defaults, **self._fields(place, table, _HOST_FIELDS)}
            if "kind" not in table:
                self._refuse(("hosts",), name, 'has no kind; write kind = "local"')
            yield Host(name, **fields)

    def _table(
        self, place: tuple[str, ...], key: str, data: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        table = data.get(key, {})
        if isinstance(table, dict):
            return cast("dict[str, Any]", table)
        self._refuse(place, key, f"must be a table, not {_shown(table)}")
        return {}

    def _fields(
        self,
        place: tuple[str, ...],
        table: Mapping[str, Any],
        known: Mapping[str, Callable[[object], Any]],
    ) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for key, value in table.items():
            if key not in known:
                self._refuse(place, key, _unknown("key", key, list(known)))
                continue
            try:
                fields[key] = known[key](value)
            except _Problem as problem:
                self._refuse(place, key, str(problem))
        return fields

    def _refuse(self, place: tuple[str, ...], key: str, what: str) -> None:
        line = _line_of(self._lines, place, key)
        where = f"{self._path}, line {line}" if line else str(self._path)
        name = ".".join((*place, key))
        self._problems.append(f"{where}: {name if name.isprintable() else repr(name)} {what}")


def _bad_name(name: str) -> str:
    if name == "auto":
        return "is no name for a host: --host auto means the best one"
    return (
        "is no name for a host: it must be up to 64 letters, digits, _ and -, "
        "with a letter or digit first"
    )


def _unknown(what: str, key: str, known: list[str]) -> str:
    return f"is no {what} that is known here{_hint(key, known)}"


def _hint(word: str, known: list[str]) -> str:
    """Return a clause that names what was meant, or else all there is."""
    return near_match(word, known) or f"; there is {', '.join(known)}"


def _line_of(lines: list[str], place: tuple[str, ...], key: str) -> int | None:
    """Return the line that sets a key or opens its table, if it is written in the usual way."""
    within: tuple[str, ...] = ()
    for number, line in enumerate(lines, start=1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            within = tuple(part.strip(" \t\"'") for part in header[1].split("."))
            if within[: len(place) + 1] == (*place, key):
                return number
        elif within == place and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return None
