"""Whether a computer is the one that it was: the files of known hosts, read as OpenSSH reads them.

The check is always strict: a key that is not known is refused, since nobody is there to compare it.
"""

import base64
import binascii
import hashlib
import hmac
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlmaster.errors import HostKeyError
from rlmaster.ssh.address import USUAL_PORT, Address

REVOKED = "@revoked"
AUTHORITY = "@cert-authority"
_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""What a key of a type is negotiated as, where that is not its type."""


@dataclass(frozen=True)
class HostKey:
    """A key that a computer shows."""

    type: str
    """Such as `ssh-ed25519`."""
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """What a person compares, as OpenSSH shows it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return f"SHA256:{digest.rstrip('=')}"


@dataclass(frozen=True)
class KnownHost:
    """A line of such a file."""

    path: Path
    number: int
    """Its line, from 1."""
    marker: str
    """`@revoked` or `@cert-authority`; mostly empty."""
    names: tuple[str, ...]
    """Patterns, or a single hashed name."""
    key: HostKey

    @property
    def where(self) -> str:
        """Where a person finds it."""
        return f"{self.path}, line {self.number}"

    def is_about(self, name: str) -> bool:
        """Tell whether it speaks of a computer of this name."""
        if self.names[0].startswith("|"):
            return _is_hash_of(self.names[0], name)
        if any(_matches(pattern[1:], name) for pattern in self.names if pattern.startswith("!")):
            return False
        return any(_matches(pattern, name) for pattern in self.names)


class KnownHosts:
    """All that is known of one computer."""

    def __init__(self, address: Address, lines: Iterable[KnownHost]) -> None:
        """Keep the lines that are about it.

        As OpenSSH has it, lines without a port count where none has the computer's own port.
        """
        self._address = address
        every = list(lines)
        name, bare = address.known_as, address.host_name.lower()
        self._lines = [line for line in every if line.is_about(name)]
        if not self._lines and address.port != USUAL_PORT and not address.host_key_alias:
            self._lines = [line for line in every if line.is_about(bare)]

    @classmethod
    def of(cls, address: Address) -> "KnownHosts":
        """Read the files that the address names.

        Raises:
            HostKeyError: If one cannot be read.
        """
        return cls(address, [line for path in address.known_hosts_files for line in _read(path)])

    def preferred(self, algorithms: Sequence[str]) -> list[str]:
        """Put the algorithms first whose keys are known, so that such a key is shown."""
        known = {
            algorithm
            for line in self._lines
            if not line.marker
            for algorithm in _ALGORITHMS.get(line.key.type, (line.key.type,))
        }
        return sorted(algorithms, key=lambda algorithm: algorithm not in known)

    def check(self, key: HostKey) -> None:
        """Accept the key that the computer shows, or say what to do.

        Raises:
            HostKeyError: If it is revoked, another one than is known, or unknown.
        """
        for line in self._lines:
            if line.marker == REVOKED and line.key == key:
                raise HostKeyError(
                    f"{self._address.name} shows a key that is revoked ({line.where}): it may be "
                    "in somebody else's hands; ask who looks after it"
                )
        plain = [line for line in self._lines if not line.marker]
        if any(line.key == key for line in plain):
            return
        for line in plain:
            if line.key.type == key.type:
                raise HostKeyError(self._changed(key, line))
        raise HostKeyError(self._unknown(key))

    def _changed(self, key: HostKey, line: KnownHost) -> str:
        forget = shlex.join(["ssh-keygen", "-f", str(line.path), "-R", self._address.known_as])
        return (
            f"{self._address.name} shows another key than the one that is known ({line.where}): "
            "it was set up anew, or somebody else answers in its place; only if you know it to be "
            f"right ({key.fingerprint}), run `{forget}`, then `{self._address.ssh_command} true`"
        )

    def _unknown(self, key: HostKey) -> str:
        why = "its key is not known yet"
        if any(line.marker == AUTHORITY for line in self._lines):
            why = "it is known by a certificate authority alone, which cannot be checked here"
        elif others := [line for line in self._lines if not line.marker]:
            why = f"its {key.type} key is not known, but another one is ({others[0].where})"
        return (
            f"{self._address.name} is not trusted: {why}; run `{self._address.ssh_command} true` "
            f"once in a terminal, and compare the fingerprint (here it was {key.fingerprint})"
        )


def parse_known_hosts(text: str, path: Path) -> Iterator[KnownHost]:
    """Read the lines of a file; those that are broken are passed over."""
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or marker not in ("", REVOKED, AUTHORITY):
            continue
        names = tuple(filter(None, words[0].split(",")))
        blob = decoded(words[2])
        if names and blob.startswith(_length_prefixed(words[1])):
            yield KnownHost(path, number, marker, names, HostKey(words[1], blob))


def _read(path: Path) -> list[KnownHost]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HostKeyError(f"{path} cannot be read: {error.strerror or error}") from error
    return list(parse_known_hosts(text, path))


def decoded(text: str) -> bytes:
    """Return what base64 holds; nothing where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _length_prefixed(key_type: str) -> bytes:
    """Return how the blob of a key of a type begins."""
    name = key_type.encode()
    return len(name).to_bytes(4, "big") + name


def _matches(pattern: str, name: str) -> bool:
    """Tell whether a pattern, in which * and ? stand for others, is that of a name."""
    parts = (
        {"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern.lower()
    )
    return re.fullmatch("".join(parts), name, re.DOTALL) is not None


def _is_hash_of(text: str, name: str) -> bool:
    _, kind, *rest = text.split("|")
    if kind != "1" or len(rest) != 2:
        return False
    salt, digest = map(decoded, rest)
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)
