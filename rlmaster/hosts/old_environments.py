"""Environments on a host that no run needs any more."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pydantic import BaseModel, Field, ValidationError

from rlmaster.durable_files import JsonObject
from rlmaster.hosts.environment import Pins
from rlmaster.hosts.remote import RemoteHost, wrong_answer

OLD_S = 7 * 86_400.0
"""For so long what nobody needs now may be needed again, by another branch of the code."""
REMOVAL_S = 600.0
"""How long it may take to remove some; an environment has tens of thousands of files."""


@dataclass(frozen=True)
class OldEnvironment:
    """An environment, or the beginning of one, that no run needs."""

    name: str
    size_bytes: int
    age_s: float
    removed: bool

    @property
    def what(self) -> str:
        """What it is, for people."""
        return "never finished" if self.name.startswith(".") else "of packages of earlier days"

    def to_data(self) -> JsonObject:
        """Return it as JSON data."""
        return asdict(self)


class _Row(BaseModel):
    name: str = Field(pattern=re.compile(r"^\.?[0-9a-f]{16}(\.[0-9a-f]{1,16})?$"))
    size_bytes: int = Field(alias="bytes", ge=0)
    age_s: float
    removed: bool


class _Answer(BaseModel):
    old: list[_Row] = Field(max_length=10_000)


def old_environments(remote: RemoteHost, pins: Pins) -> list[OldEnvironment]:
    """List what no run there needs, is older than a week, and not the present environment.

    Raises:
        HostError: If the host cannot be asked.
    """
    return _ask(remote, pins, [])


def remove_environments(
    remote: RemoteHost, pins: Pins, names: Sequence[str]
) -> list[OldEnvironment]:
    """Remove some of them; what has come into use since is left.

    Raises:
        HostError: If the host cannot be asked.
    """
    return [old for old in _ask(remote, pins, names) if old.name in names]


def _ask(remote: RemoteHost, pins: Pins, names: Sequence[str]) -> list[OldEnvironment]:
    task = {
        "workspace": remote.workspace,
        "keep": [pins.digest],
        "older_than_s": OLD_S,
        "remove": list(names),
    }
    answer = remote.run_script(
        "old_environments_script.py", [json.dumps(task)], timeout_s=REMOVAL_S
    )
    try:
        rows = _Answer.model_validate_json(answer).old
    except ValidationError as error:
        raise wrong_answer(remote.host.name) from error
    return [OldEnvironment(r.name, r.size_bytes, r.age_s, r.removed) for r in rows]
