"""The keys of an account: in its files, which may be encrypted, and in its agent."""

import copy
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import paramiko
from paramiko.pkey import UnknownKeyType

from rlmaster.errors import HostError
from rlmaster.ssh.address import Address
from rlmaster.ssh.agent import Agent, AgentError, AgentKey
from rlmaster.ssh.deadline import Deadline
from rlmaster.ssh.known_hosts import decoded
from rlmaster.ssh.programs import ask_program, printable

AskPassphrase = Callable[[str], str | None]
"""Asks a person for the passphrase of a key file; None where nobody answers."""

MOST_QUESTIONS = 3
"""How often a person may mistype a passphrase."""
ASKPASS_S = 300.0
"""How long the program SSH_ASKPASS may show its window."""
AGENT_S = 5.0
"""How long an agent may take for one thing, unless less is left altogether."""


@dataclass(frozen=True)
class LoginKey:
    """A key to log in with."""

    label: str
    """What messages call it."""
    key: paramiko.PKey


class Keys:
    """The keys that may be tried at one computer."""

    def __init__(self, address: Address, deadline: Deadline, ask: AskPassphrase | None) -> None:
        """Prepare; nothing is read yet."""
        self._address = address
        self._deadline = deadline
        self._ask = ask or _askpass()
        self.problems: list[str] = []
        """Why some of them cannot be used."""

    def in_order(self) -> Iterator[LoginKey]:
        """Give the likeliest first, and what a person is needed for last."""
        held = self._held_by_agent()
        blobs = {file: _public_blob(file) for file in self._address.identity_files}
        named = [key for key in held if key.blob in blobs.values()]
        yield from map(_of_agent, named)
        locked: list[Path] = []
        for file in self._address.identity_files:
            if all(key.blob != blobs[file] for key in named):
                yield from self._of_file(file, locked)
        if not self._address.identities_only:
            yield from (_of_agent(key) for key in held if key.blob not in blobs.values())
        for file in locked:
            yield from self._of_locked_file(file)

    def _held_by_agent(self) -> list[AgentKey]:
        if not self._address.agent_socket:
            return []
        agent = Agent(self._address.agent_socket, max(0.1, min(AGENT_S, self._deadline.left_s)))
        try:
            return agent.held_keys()
        except AgentError as error:
            self.problems.append(f"the ssh-agent does not answer ({error})")
            return []

    def _of_file(self, file: Path, locked: list[Path]) -> Iterator[LoginKey]:
        """Give the key of a file; one that is encrypted is noted as locked."""
        try:
            key = paramiko.PKey.from_path(file)
        except FileNotFoundError:
            return
        except TypeError:  # how the library says that it wants a passphrase
            locked.append(file)
        except (OSError, ValueError, paramiko.SSHException, UnknownKeyType) as error:
            self._cannot_be_used(file, error)
        else:
            yield from _with_and_without_certificate(file, key)

    def _of_locked_file(self, file: Path) -> Iterator[LoginKey]:
        """Give the key of an encrypted file, if somebody knows its passphrase."""
        with self._deadline.standing_still():
            key = _unlocked.open(file, self._ask)
        if key is not None:
            yield from _with_and_without_certificate(file, key)
        elif self._ask is None:
            self.problems.append(
                f"{file} is encrypted, and nobody is here to ask; run `ssh-add {file}`"
            )
        else:
            self.problems.append(f"{file} is encrypted, and its passphrase was not given")

    def _cannot_be_used(self, file: Path, error: Exception) -> None:
        if isinstance(error, OSError):
            self.problems.append(f"{file} cannot be read ({error.strerror or error})")
        else:
            self.problems.append(
                f"{file} is in a form that cannot be used here; `ssh-add {file}` may help, or "
                f"`ssh-keygen -p -f {file}`, which writes it anew"
            )


@dataclass
class UnlockedKeys:
    """Encrypted keys that were opened: each is asked for once in the life of the process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while a person is asked, since several connections may want the same key."""
    keys: dict[tuple[Path, int], paramiko.PKey | None] = field(
        default_factory=dict[tuple[Path, int], paramiko.PKey | None]
    )
    """By file and when it was changed; None where the person did not know it."""

    def open(self, file: Path, ask: AskPassphrase | None) -> paramiko.PKey | None:
        """Return the key of a file; None where nobody knows its passphrase, or can be asked."""
        with self.lock:
            which = (file, file.stat().st_mtime_ns)
            if which not in self.keys and ask is not None:
                self.keys[which] = _asked_for(file, ask)
            return self.keys.get(which)


_unlocked = UnlockedKeys()


def _asked_for(file: Path, ask: AskPassphrase) -> paramiko.PKey | None:
    for _ in range(MOST_QUESTIONS):
        passphrase = ask(str(file))
        if not passphrase:
            return None
        try:  # the library wants bytes, whatever its stubs say
            return paramiko.PKey.from_path(file, cast("str", passphrase.encode()))
        except (ValueError, paramiko.SSHException):  # mistyped, or in a form that is not read
            continue
    return None


def _askpass() -> AskPassphrase | None:
    """Return how a person is asked by a window, if that is how this process would ask."""
    program = os.environ.get("SSH_ASKPASS")
    wish = os.environ.get("SSH_ASKPASS_REQUIRE", "")
    has_screen = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if not program or wish == "never":
        return None
    if wish not in ("force", "prefer") and (os.isatty(0) or not has_screen):
        return None

    def ask(file: str) -> str | None:
        question = f"Enter passphrase for key '{file}': "
        try:
            return ask_program([program, question], Deadline(ASKPASS_S)).rstrip("\r\n")
        except HostError:  # closed, or nobody there: the same as no answer
            return None

    return ask


def _of_agent(key: AgentKey) -> LoginKey:
    return LoginKey(f"{printable(key.comment or key.get_name())} of the ssh-agent", key)


def _with_and_without_certificate(file: Path, key: paramiko.PKey) -> Iterator[LoginKey]:
    """Give a key with its certificate, where there is one, and then alone, as OpenSSH does."""
    if key.public_blob is not None:
        yield LoginKey(f"{file} with its certificate", key)
        key = copy.copy(key)
        key.public_blob = None
    yield LoginKey(str(file), key)


def _public_blob(file: Path) -> bytes:
    """Return the public half of a key file, which says whether the agent holds it; or nothing."""
    for path in (file.with_name(f"{file.name}.pub"), file):
        try:
            words = path.read_text(encoding="ascii").split(maxsplit=2)
        except (OSError, ValueError):
            continue
        if len(words) > 1 and not words[0].startswith("-"):
            return decoded(words[1])
    return b""
