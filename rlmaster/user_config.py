"""What a person has chosen for themselves on this computer, whatever the project: `config.toml`.

It holds addresses that are as good as passwords. So it is read where it lies and copied nowhere,
and no message repeats an address from it.
"""

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rlmaster.errors import UsageError, near_match

PATH_VARIABLE = "RLMASTER_CONFIG"
"""Environment variable that names another file than the usual one."""

NOTICE_KINDS = (
    "started",
    "new_best",
    "above_random",
    "above_human",
    "best_so_far",
    "worst_so_far",
    "plateau",
    "stalled",
    "disk_filling",
    "diverged",
    "finished",
    "stopped",
    "failed",
    "lost",
)
"""What a notice may be about."""
PUSHED_KINDS = frozenset(NOTICE_KINDS) - {"started", "new_best"}
"""What is pushed unless the file says otherwise: what changes what one does next."""


THEMES = ("dark", "light")
PICTURES = ("blocks", "sixel", "kitty")
"""How a terminal can be given pictures; blocks of two colours work in each."""


@dataclass(frozen=True)
class AppConfig:
    """How a person wants the full-screen app to look: the table `[app]`."""

    theme: str = "dark"
    """One of THEMES."""
    pictures: str = "blocks"
    """One of PICTURES."""


@dataclass(frozen=True)
class UserConfig:
    """How a person wants to hear of their runs, and to see them."""

    path: Path
    """The file, whether there is one or not."""
    push: tuple[str, ...] = field(default=(), repr=False)
    """Apprise URLs that notices are pushed to; secret."""
    desktop: bool = True
    """Whether notices are shown on the desktop, where there is one."""
    kinds: frozenset[str] = PUSHED_KINDS
    """What is pushed, of NOTICE_KINDS; the desktop shows all of them."""
    app: AppConfig = AppConfig()
    """How the full-screen app looks."""
    warning: str = ""
    """What should be changed about the file, in one sentence, or nothing."""


def user_config_path() -> Path:
    """Return where the file lies: `RLMASTER_CONFIG`, else `rlmaster/` under XDG_CONFIG_HOME."""
    if chosen := os.environ.get(PATH_VARIABLE):
        return Path(chosen)
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():  # the XDG specification has relative paths passed over
        base = Path.home() / ".config"
    return base / "rlmaster" / "config.toml"


def read_user_config() -> UserConfig:
    """Read the file; where there is none, everything is as usual.

    Raises:
        UsageError: If it cannot be read or is not valid; each problem is named with its line.
    """
    path = user_config_path()
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except FileNotFoundError:
        return UserConfig(path)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8; save it as such") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    fields = _fields(path, text)
    if fields.get("push") and mode & (stat.S_IRGRP | stat.S_IROTH):
        fields["warning"] = (
            f"others may read {path}, which holds push addresses; run `chmod 600` on it"
        )
    return UserConfig(path, **fields)


class _Problem(Exception):  # noqa: N818  collected, and shown as a UsageError
    """What is wrong with one value; never the value itself."""


def _fields(path: Path, text: str) -> dict[str, Any]:
    """Return the fields that the file sets.

    Raises:
        UsageError: If something in it is not valid.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    problems = [(key, _unknown_table(key)) for key in data if key not in _TABLES]
    found: dict[str, dict[str, Any]] = {}
    for name, readers in _TABLES.items():
        table = data.get(name, {})
        if not isinstance(table, dict):
            problems.append((name, "must be a table"))
            continue
        found[name], wrong = _values(name, cast("dict[str, Any]", table), readers)
        problems += wrong
    if problems:
        raise UsageError("\n".join(f"{_place(path, text, key)} {what}" for key, what in problems))
    return {**found["notify"], "app": AppConfig(**found["app"])}


def _unknown_table(key: str) -> str:
    return f"is no table that is known here{_hint(key, list(_TABLES))}"


def _values(
    name: str, table: Mapping[str, Any], readers: "Readers"
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the fields that a table sets, and what is wrong with the others, by their keys."""
    fields: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []
    for key, value in table.items():
        if key not in readers:
            problems.append(
                (key, f"is no key that is known in [{name}]{_hint(key, list(readers))}")
            )
            continue
        try:
            fields[key] = readers[key](value)
        except _Problem as problem:
            problems.append((key, str(problem)))
    return fields, problems


def _push(value: object) -> tuple[str, ...]:
    urls = _texts(value)
    for number, url in enumerate(urls, start=1):
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", url) or not url.isprintable():
            raise _Problem(f"must hold URLs such as ntfys://ntfy.sh/topic; entry {number} is none")
    return urls


def _desktop(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _Problem("must be true or false")


def _kinds(value: object) -> frozenset[str]:
    for number, kind in enumerate(kinds := _texts(value), start=1):
        if kind not in NOTICE_KINDS:
            raise _Problem(f"has no kind of notice as entry {number}{_hint(kind, NOTICE_KINDS)}")
    return frozenset(kinds)


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        entries = cast("list[object]", value)
        texts = tuple(entry for entry in entries if isinstance(entry, str))
        if len(texts) == len(entries):
            return texts
    raise _Problem('must be a list of texts, such as ["one", "another"]')


def _one_of(known: Sequence[str]) -> Callable[[object], str]:
    """Return what reads a word that is one of a few."""

    def read(value: object) -> str:
        if isinstance(value, str) and value in known:
            return value
        hint = near_match(value, known) if isinstance(value, str) else ""
        raise _Problem(f"must be one of {', '.join(known)}{hint}")

    return read


Readers = Mapping[str, Callable[[object], Any]]
"""What reads the value of each key of a table."""
_TABLES: Mapping[str, Readers] = {
    "notify": {"push": _push, "desktop": _desktop, "kinds": _kinds},
    "app": {"theme": _one_of(THEMES), "pictures": _one_of(PICTURES)},
}


def _hint(word: str, known: Sequence[str]) -> str:
    """Return a clause that names what was meant, or else all there is."""
    return near_match(word, known) or f"; there is {', '.join(known)}"


def _place(path: Path, text: str, key: str) -> str:
    """Return the file, the line that sets a key where it is written in the usual way, the key."""
    usual = re.compile(rf"[\s\[]*[\"']?{re.escape(key)}[\"']?\s*[\].=]")
    numbers = [number for number, line in enumerate(text.split("\n"), 1) if usual.match(line)]
    where = f"{path}, line {numbers[0]}" if numbers else str(path)
    return f"{where}: {key if key.isprintable() else repr(key)}"
