"""What decides whether a host can be trusted and lets somebody in, as far as it lies here."""

import os
import time
from pathlib import Path

from rlmaster.durable_files import signature
from rlmaster.errors import HostError
from rlmaster.hosts.inventory import Host
from rlmaster.ssh.address import CONFIG_VARIABLE, Address, route
from rlmaster.ssh.agent import Agent, AgentError
from rlmaster.ssh.deadline import Deadline

RESOLVE_S = 5.0
AGENT_S = 1.0
RESOLVE_EVERY_S = 30.0
"""Between two looks at the whole configuration, which takes a process; its files are cheap."""
KEY_SUFFIXES = ("", ".pub", "-cert.pub")


class Settings:
    """The user's ssh configuration for one host: its files, its keys, the agent."""

    def __init__(self, host: Host) -> None:
        """Remember them as they are."""
        self._address = host.ssh_address
        self._route = self._resolve()
        self._files = _files(self._route)
        self._seen = self._look()
        self._next_resolve = time.monotonic() + RESOLVE_EVERY_S

    def have_changed(self) -> bool:
        """Tell whether another attempt may go otherwise."""
        if self._look() != self._seen:
            return True
        if time.monotonic() < self._next_resolve:
            return False
        self._next_resolve = time.monotonic() + RESOLVE_EVERY_S
        return self._resolve() != self._route

    def _look(self) -> object:
        files = [signature(path) for path in self._files]
        return files, [_held_keys(address.agent_socket) for address in self._route]

    def _resolve(self) -> list[Address]:
        """Return the way to the host; none where the configuration cannot be read."""
        try:
            return route(self._address, Deadline(RESOLVE_S))
        except HostError:
            return []


def _files(way: list[Address]) -> list[Path]:
    """Return all files that have a say on the way to a host, whether they are there or not."""
    files = [Path(os.environ.get(CONFIG_VARIABLE) or Path.home() / ".ssh" / "config")]
    for address in way:
        files += address.known_hosts_files
        for key in address.identity_files:
            files += [key.with_name(key.name + suffix) for suffix in KEY_SUFFIXES]
    return files


def _held_keys(socket: str) -> frozenset[bytes]:
    """Return which keys an agent holds; none where there is no agent."""
    try:
        return frozenset(key.asbytes() for key in Agent(socket, AGENT_S).held_keys())
    except AgentError:
        return frozenset()
