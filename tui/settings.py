"""What the app remembers from one day to the next, and what a person has set for it.

Both are read before anything is shown, so that no colour changes before one's eyes.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

from rlmaster.durable_files import read_json, write_json
from rlmaster.errors import UsageError
from rlmaster.user_config import AppConfig, read_user_config

THEMES = {"dark": "textual-dark", "light": "textual-light"}


@dataclass(frozen=True)
class Remembered:
    """What the app was left with."""

    theme: str = ""
    """`dark` or `light` where the person has switched; empty for what `config.toml` says."""
    sort: str = ""
    """How the list of runs is sorted, in its own words."""
    side_pane: bool = True
    """Whether the list of runs shows the chosen one beside it."""
    unkept: Mapping[str, str] = field(default_factory=dict[str, str])
    """Texts that were written and not kept, by what they are of."""


class Settings:
    """Remembers in `app.json`, which all apps of an account share; each change is written at once.

    Where that file cannot be written, what is changed holds until the app ends.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Read what is remembered; a file that is damaged is as good as none."""
        self._path = path or settings_path()
        self.remembered = _read(self._path)

    def remember(self, **changes: Any) -> None:
        """Change fields of what is remembered; another app's changes of other fields stay."""
        self.remembered = replace(_read(self._path, self.remembered), **changes)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, asdict(self.remembered))
        except OSError:  # a full disk: nothing is lost that one would miss today
            return

    def set_aside(self, what: str, text: str) -> None:
        """Keep a text that was written and not kept; an empty one is forgotten."""
        others = {name: kept for name, kept in self.remembered.unkept.items() if name != what}
        self.remember(unkept={**others, what: text} if text.strip() else others)

    def written(self, what: str) -> str | None:
        """Return what was written last of something and not kept."""
        return self.remembered.unkept.get(what)


def settings_path() -> Path:
    """Return the file in which the app remembers."""
    return state_folder() / "app.json"


def state_folder() -> Path:
    """Return where the app keeps what is a person's and no project's, under XDG_STATE_HOME."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # the XDG specification has relative paths passed over
        base = Path(os.path.expanduser("~")) / ".local" / "state"  # noqa: PTH111  never raises
    return base / "rlmaster"


def read_app_config() -> tuple[AppConfig, str]:
    """Return what a person has set for the app, and what is wrong with the file, or nothing."""
    try:
        return read_user_config().app, ""
    except UsageError as error:
        return AppConfig(), str(error)


def _read(path: Path, otherwise: Remembered | None = None) -> Remembered:
    """Return what the file says; a field that makes no sense is as it was."""
    usual = otherwise or Remembered()
    try:
        data = read_json(path) or {}
    except (OSError, ValueError):
        return usual
    sound = {
        each.name: data[each.name]
        for each in fields(Remembered)
        if type(data.get(each.name)) is type(getattr(usual, each.name))
    }
    texts = cast("dict[str, object]", sound.get("unkept", {}))
    sound["unkept"] = {name: text for name, text in texts.items() if isinstance(text, str)}
    return replace(usual, **sound)
