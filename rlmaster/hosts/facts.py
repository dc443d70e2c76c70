"""What a computer says that it has for runs; nothing of it is trusted."""

import time
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from rlmaster.hosts.remote import RemoteHost, cleaned, wrong_answer

FACTS_S = 30.0
"""For a few programs that take five seconds at the most."""
MOST_CHARACTERS = 300


def _shown(text: str) -> str:
    return cleaned(text.encode(errors="replace"))[:MOST_CHARACTERS]


_Text = Annotated[str, AfterValidator(_shown)]


class Folder(BaseModel):
    """A folder that something is written into."""

    path: _Text
    problem: _Text
    """Why nothing can be written, empty where it can."""
    file_system: _Text
    """Its type, empty where nobody says."""


class Program(BaseModel):
    """A program that says its version, or why not."""

    version: _Text
    problem: _Text


class Session(BaseModel):
    """What happens to an account's processes when it logs out."""

    user: _Text
    in_scope: bool
    """Whether what we start there belongs to a session of systemd."""
    kills: bool | None
    """Whether systemd ends what belongs to a session; None where there is no systemd."""


class Limits(BaseModel):
    """How many processes and threads an account may have."""

    most_processes: int | None
    processes: int


class Push(BaseModel):
    """Whether workers there push notices."""

    path: _Text
    ours: bool
    """Whether `hosts setup --push` wrote the file."""
    theirs: bool
    """Whether a person did."""


class Facts(BaseModel):
    """What the script says; a part that failed is None, and `failed` says why."""

    clock_s: float
    python: _Text
    executable: _Text
    failed: Annotated[dict[_Text, _Text], Field(max_length=20)]
    workspace: Folder | None = None
    locks: Folder | None = None
    tmux: Program | None = None
    compiler: Program | None = None
    session: Session | None = None
    limits: Limits | None = None
    push: Push | None = None


@dataclass(frozen=True)
class Answered:
    """What a computer said, and how long it took."""

    facts: Facts
    round_trip_s: float
    """From a command to its end, once the connection is there."""
    clock_error_s: float
    """How far its clock is ahead of ours at the least; 0 where they may agree."""


def ask_facts(remote: RemoteHost) -> Answered:
    """Ask a computer what it has.

    Raises:
        HostError: If no program begins there, or it does not answer.
    """
    began = time.monotonic()
    remote.connection.execute("exec true", timeout_s=FACTS_S)
    round_trip_s = time.monotonic() - began
    asked_s = time.time()
    answer = remote.run_script("check_script.py", [remote.workspace], timeout_s=FACTS_S)
    try:
        facts = Facts.model_validate_json(answer)
    except ValidationError as error:
        raise wrong_answer(remote.host.name) from error
    ahead_s, behind_s = facts.clock_s - time.time(), asked_s - facts.clock_s
    return Answered(facts, round_trip_s, max(0.0, ahead_s) - max(0.0, behind_s))
