"""Changing `hosts.toml` as a person would in an editor: all else in it stays as it is written.

The changed text is checked before the file is replaced, so that a file that is valid stays so.
"""

import fcntl
import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import tomlkit
from tomlkit.items import Comment, Item, Table, Whitespace

from rlmaster.durable_files import write_atomically
from rlmaster.errors import InventoryError
from rlmaster.hosts.inventory import (
    Host,
    HostsFile,
    Inventory,
    parse_inventory,
    read_inventory,
    user_hosts_path,
)

THIS_COMPUTER = '[hosts.local]\nkind = "local"\n'


@dataclass(frozen=True)
class HostsEditor:
    """Adds hosts to the project's file or to the person's own, and removes them."""

    project_file: Path
    for_user: bool = False
    """Whether it is the person's own file that is changed."""

    @property
    def path(self) -> Path:
        """The file that is changed."""
        return user_hosts_path() if self.for_user else self.project_file

    def add(self, name: str, keys: Mapping[str, Any]) -> Host:
        """Write a new host at the end of the file, and return it as it reads.

        Args:
            name: What people will call it.
            keys: What its table shall say, in that order; None for what is not said.

        Raises:
            InventoryError: If the name is taken, or the file or a value is not valid.
        """
        with self._locked():
            inventory = read_inventory(self.project_file)
            if taken := [host for host in inventory.hosts if host.name == name and host.origin]:
                raise InventoryError(
                    f"there is a host {name!r} in {taken[0].origin} already; change it there, or "
                    f"`rlmaster hosts remove {name}` first"
                )
            file = HostsFile.read(self.path)
            addition = _table(name, {k: v for k, v in keys.items() if v is not None})
            if not self.for_user and not any(host.origin for host in inventory.hosts):
                addition = f"{THIS_COMPUTER}\n{addition}" if name != "local" else addition
            text = file.text + ("" if file.text.endswith("\n") or not file.text else "\n")
            return self._write(text + ("\n" if text else "") + addition).find(name)

    def remove(self, name: str) -> None:
        """Take a host's table out of the file; comments above it stay.

        Raises:
            InventoryError: If it is not in this file, or the rest would not be valid.
        """
        with self._locked():
            inventory = read_inventory(self.project_file)
            file = HostsFile.read(self.path)
            document = cast("Mapping[str, Any]", tomlkit.parse(file.text))
            tables = document.get("hosts", {})
            if name not in tables:
                origin = inventory.find(name).origin
                raise InventoryError(f"{self.path} has no host {name!r}{self._hint(origin)}")
            self._write(_without(file, name, tables[name]))

    def _hint(self, origin: Path | None) -> str:
        if origin is None:
            return ": it is this computer, which is there while no other host is named"
        return f"; {origin} has it: {'leave out' if self.for_user else 'add'} --user"

    def _write(self, text: str) -> Inventory:
        """Replace the file by a text that is valid, and return what is in the files then."""
        new, user = HostsFile(self.path, text), HostsFile.read(user_hosts_path())
        files = (HostsFile.read(self.project_file), new) if self.for_user else (new, user)
        try:
            inventory = parse_inventory(*files)
        except InventoryError as error:
            raise InventoryError(f"nothing was changed, for then\n{error}") from error
        target = self.path.resolve()  # a link to a file that is kept elsewhere stays one
        try:
            mode = target.stat().st_mode & 0o777 if target.exists() else None
            write_atomically(target, text, durable=True)
            if mode is not None:
                target.chmod(mode)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        return inventory

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Let one process at a time change the files of a folder."""
        folder = self.path.resolve().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _table(name: str, keys: Mapping[str, Any]) -> str:
    """Return a host's table as it is written in TOML."""
    items = {key: cast("Item", tomlkit.item(value)) for key, value in keys.items()}
    lines = [f"{key} = {item.as_string()}" for key, item in items.items()]
    return "\n".join([f"[hosts.{tomlkit.key(name).as_string()}]", *lines, ""])


def _without(file: HostsFile, name: str, table: Item) -> str:
    """Return a file's text without a table, but with what stands below its last key.

    Raises:
        InventoryError: If the table is not written as `[hosts.NAME]`.
    """
    header = re.search(
        rf"^[ \t]*\[[ \t]*hosts[ \t]*\.[ \t]*([\"']?){re.escape(name)}\1[ \t]*\].*\n?",
        file.text,
        re.MULTILINE,
    )
    body = table.as_string()
    if header is None or not file.text.startswith(body, header.end()):
        raise InventoryError(
            f"{file.path} does not have {name} as a table [hosts.{name}]; remove it in an editor"
        )
    before, rest = file.text[: header.start()], file.text[header.end() + len(body) :]
    below = _below_the_last_key(cast("Table", table)) + rest
    if not below.strip():
        return before.rstrip("\n") + "\n" if before.strip() else ""
    return before + (below.removeprefix("\n") if before.endswith("\n\n") else below)


def _below_the_last_key(table: Table) -> str:
    """Return the blank lines and comments at a table's end, which belong to what follows it."""
    body = cast("list[tuple[object, Item]]", table.value.body)
    items = [item for _, item in body]
    below = takewhile(lambda item: isinstance(item, Comment | Whitespace), reversed(items))
    return "".join(reversed([item.as_string() for item in below]))


def _cannot_write(path: Path, error: OSError) -> InventoryError:
    return InventoryError(
        f"{path} cannot be changed ({error.strerror or error}); free some space or check who may "
        "write there"
    )
