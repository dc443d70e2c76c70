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


@dataclass(frozen=True)
class UserConfig:
    """How a person wants to hear of their runs."""

    path: Path
    """The file, whether there is one or not."""
    push: tuple[str, ...] = field(default=(), repr=False)
    """Apprise URLs that notices are pushed to; secret."""
    desktop: bool = True
    """Whether notices are shown on the desktop, where there is one."""
    kinds: frozenset[str] = PUSHED_KINDS
    """What is pushed, of NOTICE_KINDS; the desktop shows all of them."""
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
    table = data.pop("notify", {})
    problems = [(key, f"is no table that is known here{_hint(key, ['notify'])}") for key in data]
    if not isinstance(table, dict):
        problems.append(("notify", "must be a table"))
        table = {}
    fields: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", table).items():
        try:
            fields[key] = _value(key, value)
        except _Problem as problem:
            problems.append((key, str(problem)))
    if problems:
        raise UsageError("\n".join(f"{_place(path, text, key)} {what}" for key, what in problems))
    return fields


def _value(key: str, value: object) -> Any:
    if key not in _READERS:
        raise _Problem(f"is no key that is known in [notify]{_hint(key, list(_READERS))}")
    return _READERS[key](value)


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


_READERS: Mapping[str, Callable[[object], Any]] = {
    "push": _push,
    "desktop": _desktop,
    "kinds": _kinds,
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
