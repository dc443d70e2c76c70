"""Where an address leads: what the user's ssh configuration says of it.

OpenSSH is asked where it is there (`ssh -G`), since only it knows all of Include, Match and tokens;
elsewhere Paramiko reads the configuration.
"""

import getpass
import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import paramiko

from rlmaster.errors import HostError
from rlmaster.ssh.deadline import Deadline
from rlmaster.ssh.programs import ask_program

CONFIG_VARIABLE = "RLMASTER_SSH_CONFIG"
"""Environment variable that names another file than ~/.ssh/config."""
USUAL_PORT = 22
MOST_HOPS = 8
"""Longest way to a computer; a longer one is taken for a loop."""
_ADDRESS = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^\s@:/'\"`$\\;&<>|(){}-][^\s@:/'\"`$\\;&<>|(){}]*)@)?"
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.%\w]+)\]|(?P<plain>[\w][\w.-]*)"
    r"|(?P<ipv6>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*(?:%\w+)?))"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)
"""No shell finds anything to do in what it matches, and no program takes it for an option."""
_USUAL_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
_Settings = Mapping[str, Sequence[str]]
"""Values by lower-case keyword, as `ssh -G` prints them."""


@dataclass(frozen=True)
class Target:
    """An address as a person writes it, taken apart; what it does not say is left open."""

    host: str
    user: str = ""
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read a name, `user@host:port`, or an IPv6 address, in brackets where a port follows.

        Raises:
            HostError: If it is none of these.
        """
        found = _ADDRESS.fullmatch(text)
        port = int(found["port"]) if found and found["port"] else None
        if not found or (port is not None and not 0 < port < 2**16):
            raise HostError(
                f"{text!r} is no address of a computer; write a name from the ssh configuration, "
                "or user@host:port"
            )
        host = found["bracketed"] or found["plain"] or found["ipv6"]
        return cls(host, found["user"] or "", port)

    @property
    def ssh_command(self) -> str:
        """What a person types to get there by hand."""
        config = os.environ.get(CONFIG_VARIABLE)
        file = ["-F", config] if config else []
        port = ["-p", str(self.port)] if self.port else []
        user = f"{self.user}@" if self.user else ""
        return shlex.join(["ssh", *file, *port, f"{user}{self.host}"])


@dataclass(frozen=True)
class Address:
    """Where an address leads, and what is needed on the way."""

    name: str
    """As it was written: what messages call it."""
    host_name: str
    port: int
    user: str
    identity_files: tuple[Path, ...] = ()
    """Private keys to try, whether they are there or not."""
    identities_only: bool = False
    """Whether keys of the agent that are not among the files are left alone."""
    agent_socket: str = ""
    """Socket of the agent to ask; empty for none."""
    known_hosts_files: tuple[Path, ...] = ()
    host_key_alias: str = ""
    """What the computer is called in the files of known hosts; empty for its host name."""
    connect_timeout_s: float | None = None
    proxy_command: str = ""
    """Shell command whose input and output are the connection; empty for none."""
    proxy_jump: tuple[str, ...] = ()
    """Computers to go through, in order."""

    @property
    def known_as(self) -> str:
        """Name in the files of known hosts."""
        if self.host_key_alias:
            return self.host_key_alias
        name = self.host_name.lower()
        return name if self.port == USUAL_PORT else f"[{name}]:{self.port}"

    @property
    def ssh_command(self) -> str:
        """What a person types to get there by hand."""
        return Target.parse(self.name).ssh_command


def route(name: str, deadline: Deadline) -> list[Address]:
    """Return the computers on the way to one, which comes last.

    As OpenSSH has it, the first jump host may have jump hosts of its own, and the others not.

    Raises:
        HostError: If the configuration cannot be read, or leads in a circle.
    """
    address = resolve(name, deadline)
    way = [address]
    seen = {_place(address)}
    while first := way[0].proxy_jump:
        jumps = [resolve(jump, deadline) for jump in first]
        way = [jumps[0], *(replace(jump, proxy_command="") for jump in jumps[1:]), *way]
        if any(_place(jump) in seen for jump in jumps) or len(way) > MOST_HOPS:
            raise HostError(
                f"the way to {name} leads in a circle: look at ProxyJump of {jumps[0].name} in the "
                "ssh configuration"
            )
        seen |= {_place(jump) for jump in jumps}
    return way


def resolve(name: str, deadline: Deadline) -> Address:
    """Look an address up in the user's ssh configuration.

    Raises:
        HostError: If it is no address, or the configuration cannot be read in time.
    """
    target = Target.parse(name)
    config = os.environ.get(CONFIG_VARIABLE)
    try:
        if shutil.which("ssh"):
            settings = _asked_of_openssh(target, config, deadline)
        else:
            settings = _read_by_paramiko(target, config)
    except HostError as error:
        raise HostError(f"{name} cannot be looked up in the ssh configuration: {error}") from error
    return _address(name, target, settings)


def _place(address: Address) -> tuple[str, int, str]:
    return address.host_name, address.port, address.user


def _asked_of_openssh(target: Target, config: str | None, deadline: Deadline) -> _Settings:
    program = ["ssh", "-T", *(["-F", config] if config else []), "-G"]
    program += ["-p", str(target.port)] if target.port else []
    program += ["-l", target.user] if target.user else []
    settings: dict[str, list[str]] = {}
    for line in ask_program([*program, target.host], deadline).splitlines():
        keyword, _, value = line.partition(" ")
        settings.setdefault(keyword.lower(), []).append(value)
    return settings


def _read_by_paramiko(target: Target, config: str | None) -> _Settings:
    path = Path(config or "~/.ssh/config").expanduser()
    try:
        read = paramiko.SSHConfig.from_path(str(path)) if path.exists() else paramiko.SSHConfig()
        found = read.lookup(target.host)
    except (OSError, UnicodeDecodeError, paramiko.SSHException) as error:
        raise HostError(f"{path}: {error}") from error
    # A value may be none, as `ProxyCommand none` gives it, whatever the library's stubs say.
    given = cast("dict[str, str | list[str] | None]", found)
    settings = {
        keyword: list(value) if isinstance(value, list) else [value]
        for keyword, value in given.items()
        if value is not None
    }
    if target.user:
        settings["user"] = [target.user]
    if target.port:
        settings["port"] = [str(target.port)]
    return settings


def _address(name: str, target: Target, settings: _Settings) -> Address:
    """Turn what the configuration says into what is needed."""

    def first(keyword: str, default: str = "") -> str:
        value = (settings.get(keyword) or [default])[0]
        return default if value.lower() == "none" else value

    host_name, user = first("hostname", target.host), first("user") or getpass.getuser()
    port = int(first("port", str(USUAL_PORT)))
    tokens = {
        "%": "%",
        "d": str(Path.home()),
        "h": host_name,
        "n": target.host,
        "p": str(port),
        "r": user,
        "u": getpass.getuser(),
    }
    files = settings.get("identityfile") or [f"~/.ssh/{key}" for key in _USUAL_KEYS]
    known = [
        *settings.get("userknownhostsfile", ["~/.ssh/known_hosts ~/.ssh/known_hosts2"]),
        *settings.get("globalknownhostsfile", ["/etc/ssh/ssh_known_hosts"]),
    ]
    timeout = first("connecttimeout")
    return Address(
        name=name,
        host_name=host_name,
        port=port,
        user=user,
        identity_files=tuple(_path(file, tokens) for file in files if file.lower() != "none"),
        identities_only=first("identitiesonly", "no") == "yes",
        agent_socket=_agent_socket(settings, tokens),
        known_hosts_files=tuple(
            _path(file, tokens) for files in known for file in split_paths(files)
        ),
        host_key_alias=first("hostkeyalias").lower(),
        connect_timeout_s=float(timeout) if timeout.isdecimal() else None,
        proxy_command=_expanded(first("proxycommand"), tokens),
        proxy_jump=tuple(filter(None, first("proxyjump").replace(" ", "").split(","))),
    )


def split_paths(text: str) -> list[str]:
    """Take a list of paths apart; OpenSSH prints it without quotes even where they have spaces."""
    if text.lower() == "none":
        return []
    paths: list[str] = []
    for word in shlex.split(text) if '"' in text else text.split():
        if paths and not word.startswith(("/", "~", "%", "${")):
            paths[-1] += f" {word}"
        else:
            paths.append(word)
    return paths


def _agent_socket(settings: _Settings, tokens: Mapping[str, str]) -> str:
    value = (settings.get("identityagent") or ["SSH_AUTH_SOCK"])[0]
    if value.lower() == "none":
        return ""
    if value == "SSH_AUTH_SOCK":
        return os.environ.get(value, "")
    if re.fullmatch(r"\$\w+", value):
        return os.environ.get(value[1:], "")
    return str(_path(value, tokens))


def _path(text: str, tokens: Mapping[str, str]) -> Path:
    home = Path.home()
    path = Path(re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], ""), text))
    path = home.joinpath(*path.parts[1:]) if path.parts[:1] == ("~",) else path
    return Path(_expanded(str(path), tokens))


def _expanded(text: str, tokens: Mapping[str, str]) -> str:
    """Put in what OpenSSH's tokens stand for; those that are not known stay."""
    return re.sub(r"%(.)", lambda found: tokens.get(found[1], found[0]), text)
