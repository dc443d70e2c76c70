"""The inventory: which computers runs may use, from `hosts.toml`.

The project's file is shared by all who work with it; a person's own file adds hosts to it and
changes keys of those that it names.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rlmaster.errors import InventoryError, near_match
from rlmaster.hosts.inventory_keys import (
    DEFAULT_KEYS,
    HOST_KEYS,
    REMOTE_KEYS,
    WrongValueError,
    shown,
)
from rlmaster.hosts.slots import SlotRules

PATH_VARIABLE = "RLMASTER_HOSTS"
"""Environment variable that names another file than the usual one of a person's own hosts."""
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a shell, tmux and a TOML key take as it is."""
DEFAULT_WORKSPACE = "~/rlmaster-workspace"


@dataclass(frozen=True)
class Host:
    """A computer that runs may use."""

    name: str
    """What people call it."""
    kind: str = "local"
    """How it is reached: `local` is the computer that RLmaster runs on, `ssh` another one."""
    address: str = ""
    """Of kind `ssh`: a name from the ssh configuration, or `user@host:port`; else its name."""
    workspace: str = DEFAULT_WORKSPACE
    """Of kind `ssh`: the folder there that runs, code and environments are kept in."""
    tags: tuple[str, ...] = ()
    """Words that an experiment may ask for."""
    cpu_slots: int | None = None
    """Runs at a time where there is no GPU, 1 to 1,024; None for two, or one on a single core."""
    slots_per_gpu: int = 1
    """Runs at a time on each GPU, 1 to 1,024."""
    python: str | None = None
    """Interpreter that runs are made with: an absolute path, one under `~/`, or a name on PATH."""
    notes: str = ""
    """What people should know when they choose it."""
    origin: Path | None = field(default=None, compare=False)
    """The file that names it first; None for this computer where no file does."""

    @property
    def ssh_address(self) -> str:
        """What it is reached by over SSH."""
        return self.address or self.name

    @property
    def slot_rules(self) -> SlotRules:
        """How many runs it is given at a time."""
        return SlotRules(self.cpu_slots, self.slots_per_gpu)


@dataclass(frozen=True)
class Inventory:
    """Every computer that runs may use, in the order of the files."""

    hosts: tuple[Host, ...]
    path: Path
    """The project's file, whether there is one or not."""
    user_path: Path
    """The person's own file, whether there is one or not."""

    def find(self, name: str) -> Host:
        """Return the host of a name.

        Raises:
            InventoryError: If there is none; names that come near are listed.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        known = [host.name for host in self.hosts]
        files = f"{self.path}{f' or {self.user_path}' if self.user_path.is_file() else ''}"
        raise InventoryError(f"there is no host {name!r} in {files}{_hint(name, known)}")


@dataclass(frozen=True)
class HostsFile:
    """A file of hosts as it lies there."""

    path: Path
    text: str
    """Empty where there is no file."""

    @classmethod
    def read(cls, path: Path) -> "HostsFile":
        """Read a file that need not exist.

        Raises:
            InventoryError: If it is there and cannot be read.
        """
        try:
            return cls(path, path.read_bytes().decode())
        except FileNotFoundError:
            return cls(path, "")
        except UnicodeDecodeError as error:
            raise InventoryError(f"{path} is not text in UTF-8; save it as such") from error
        except OSError as error:
            raise InventoryError(f"{path} cannot be read: {error.strerror or error}") from error


def user_hosts_path() -> Path:
    """Return where a person's own hosts are: `RLMASTER_HOSTS`, else under XDG_CONFIG_HOME."""
    if chosen := os.environ.get(PATH_VARIABLE):
        return Path(chosen)
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():  # the XDG specification has relative paths passed over
        base = Path(os.environ.get("HOME") or "/") / ".config"
    return base / "rlmaster" / "hosts.toml"


def read_inventory(path: Path) -> Inventory:
    """Read the project's `hosts.toml`, and the person's own file over it.

    Where the project's file is missing or names no host, it is as if it named this computer.

    Raises:
        InventoryError: If one is not valid; each problem is named with its file and line.
    """
    return parse_inventory(HostsFile.read(path), HostsFile.read(user_hosts_path()))


def parse_inventory(project: HostsFile, user: HostsFile) -> Inventory:
    """Return what the two files say together; the person's own has the last word on each key.

    Raises:
        InventoryError: If they are not valid; each problem is named with its file and line.
    """
    problems: list[str] = []
    files = [_Tables(project, problems), _Tables(user, problems)]
    if not files[0].hosts:
        files[0].hosts["local"] = {"kind": "local"}
    defaults = {**files[0].defaults, **files[1].defaults}
    names = dict.fromkeys([*files[0].hosts, *files[1].hosts])
    hosts = tuple(_merged(name, files, defaults) for name in names)
    if problems:
        raise InventoryError("\n".join(problems))
    return Inventory(hosts, project.path, user.path)


def _merged(name: str, files: "Sequence[_Tables]", defaults: Mapping[str, Any]) -> Host:
    """Return a host by all that the files say of it."""
    tables = [file.hosts.get(name, {}) for file in files]
    naming = next((file for file in files if name in file.named), files[0])
    kinds = [table["kind"] for table in tables if "kind" in table]
    if not kinds:
        naming.refuse(("hosts",), name, 'has no kind; write kind = "ssh" or kind = "local"')
        return Host(name)
    unfitting = REMOTE_KEYS if kinds[-1] == "local" else frozenset[str]()
    for file, table in zip(files, tables, strict=True):
        if table is tables[0] and len(kinds) == 2:
            continue  # the person's own file says that on this computer it is of another kind
        for key in unfitting & table.keys():
            file.refuse(("hosts", name), key, 'is for hosts of kind "ssh"; this one is "local"')
    fields = {**defaults, **tables[0], **tables[1]}
    known = {key: value for key, value in fields.items() if key not in unfitting}
    return Host(name, origin=naming.path if name in naming.named else None, **known)


class _Tables:
    """One file's tables, of which each value is checked; what is wrong is gathered."""

    def __init__(self, file: HostsFile, problems: list[str]) -> None:
        self.path = file.path
        self._lines = file.text.splitlines()
        self._problems = problems
        data = self._parsed(file)
        for key in data:
            if key not in ("defaults", "hosts"):
                self.refuse((), key, _unknown("table", key, ["defaults", "hosts"]))
        table = self._table((), "defaults", data)
        self.defaults = self._fields(("defaults",), table, DEFAULT_KEYS)
        self.hosts: dict[str, dict[str, Any]] = {}
        tables = self._table((), "hosts", data)
        for name in tables:
            if not NAME_PATTERN.fullmatch(name) or name == "auto":
                self.refuse(("hosts",), name, _bad_name(name))
                continue
            table = self._table(("hosts",), name, tables)
            self.hosts[name] = self._fields(("hosts", name), table, HOST_KEYS)
        self.named = frozenset(self.hosts)

    def _parsed(self, file: HostsFile) -> Mapping[str, Any]:
        try:
            return tomllib.loads(file.text)
        except tomllib.TOMLDecodeError as error:
            raise InventoryError(f"{self.path} is not valid TOML: {error}") from error
        except RecursionError as error:
            raise InventoryError(f"{self.path} is nested too deeply to be read") from error

    def _table(
        self, place: tuple[str, ...], key: str, data: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        table = data.get(key, {})
        if isinstance(table, dict):
            return cast("dict[str, Any]", table)
        self.refuse(place, key, f"must be a table, not {shown(table)}")
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
                self.refuse(place, key, _unknown("key", key, list(known)))
                continue
            try:
                fields[key] = known[key](value)
            except WrongValueError as problem:
                self.refuse(place, key, str(problem))
                fields[key] = value  # it is refused already, and is not missing
        return fields

    def refuse(self, place: tuple[str, ...], key: str, what: str) -> None:
        """Gather what is wrong with one key or table."""
        line = _line_of(self._lines, place, key)
        where = f"{self.path}, line {line}" if line else str(self.path)
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
