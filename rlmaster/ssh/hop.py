"""One computer on the way: connected to, and known to be the right one; nobody is logged in."""

import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import cast

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from rlmaster.errors import HostError, SilenceError
from rlmaster.ssh.address import Address
from rlmaster.ssh.deadline import Deadline
from rlmaster.ssh.known_hosts import HostKey, KnownHosts
from rlmaster.ssh.link import ProxyProgram, connect_socket, connect_through

ENDING_S = 2.0
"""How long the end of a connection's thread is waited for."""


@dataclass(frozen=True)
class Hop:
    """A connection to one computer."""

    address: Address
    transport: paramiko.Transport
    root: socket.socket
    """What all bytes go through in the end: the socket of the first computer on the way."""

    @property
    def has_own_socket(self) -> bool:
        """Whether the kernel sees the whole link, and so notices that it is dead."""
        return self.transport.sock is self.root and not self.address.proxy_command


def open_hop(address: Address, before: Hop | None, deadline: Deadline, closing: ExitStack) -> Hop:
    """Connect to a computer, from the one before it where there is one.

    Args:
        address: Where it is.
        before: The connection that it is reached through.
        deadline: How long it may take.
        closing: Closes what was opened, whether all of it could be or not.

    Raises:
        HostKeyError: If it is not to be trusted.
        HostError: If it is not reached in time.
    """
    known = KnownHosts.of(address)
    if before is None:
        link = root = _root(address, deadline, closing)
    else:
        link = connect_through(before.transport, before.address.name, address, deadline)
        root = before.root
    transport = paramiko.Transport(cast("socket.socket", link))  # a passage does as well
    closing.callback(_end, transport, root)
    options = transport.get_security_options()
    options.key_types = known.preferred(options.key_types)
    _negotiate(transport, address, deadline)
    shown = transport.get_remote_server_key()
    known.check(HostKey(shown.get_name(), shown.asbytes()))
    return Hop(address, transport, root)


def _root(address: Address, deadline: Deadline, closing: ExitStack) -> socket.socket:
    """Connect to the first computer on the way.

    Raises:
        HostError: If it is not reached in time.
    """
    if address.proxy_command:
        program = ProxyProgram(address.proxy_command)
        closing.callback(program.close)
        return program.link
    link = connect_socket(address, deadline)
    closing.callback(link.close)
    return link


def _negotiate(transport: paramiko.Transport, address: Address, deadline: Deadline) -> None:
    """Agree on how to talk, and let the computer show its key.

    Raises:
        HostError: If it does not in time.
    """
    # Its own bounds come after ours, so that it is clear which one was reached.
    transport.banner_timeout = transport.handshake_timeout = deadline.left_s + 1.0
    try:
        transport.start_client(timeout=deadline.left_s)
        transport.get_remote_server_key()
    except IncompatiblePeer as error:
        raise HostError(f"{address.name} speaks no SSH that is spoken here: {error}") from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        if deadline.is_over:
            raise SilenceError(
                f"{address.name} can be reached, but its SSH server said nothing within {deadline}"
            ) from error
        raise HostError(
            f"{address.name} ended the connection before anything was said: too many connect to "
            "it at once, or no SSH server is there; try again later"
        ) from error


def _end(transport: paramiko.Transport, root: socket.socket) -> None:
    """Close a connection, and let its thread end.

    The socket goes first: on a dead link, a polite goodbye would wait until the link is given up.
    """
    with suppress(OSError):
        root.shutdown(socket.SHUT_RDWR)
    transport.packetizer.complete_handshake()  # or a timer of it outlives a handshake that failed
    with suppress(OSError, EOFError, paramiko.SSHException):  # what goes through a hop that ended
        transport.close()
    if transport.is_alive():
        transport.join(ENDING_S)
