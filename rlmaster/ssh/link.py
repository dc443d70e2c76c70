"""What the bytes of a connection go through: a socket, a jump host or a program.

A link that is dead is noticed, although nobody says so.
"""

import queue
import socket
import subprocess
import threading
from contextlib import suppress
from typing import Any

import paramiko

from rlmaster.errors import HostError, SilenceError
from rlmaster.ssh.address import USUAL_PORT, Address
from rlmaster.ssh.deadline import Deadline
from rlmaster.ssh.programs import end_session

IDLE_S = 3
"""After so long without a word, the other side is asked whether it is there."""
ASKED_EVERY_S = 2
ASKED_TIMES = 3
DEAD_AFTER_S = IDLE_S + ASKED_EVERY_S * ASKED_TIMES
"""A link on which nothing is answered is given up after so long."""

_Place = tuple[socket.AddressFamily, tuple[Any, ...]]
"""A network address, of whatever family."""


def connect_socket(address: Address, deadline: Deadline) -> socket.socket:
    """Connect to a computer directly, by any of its addresses.

    Raises:
        HostError: If none of them answers in time.
    """
    places = _look_up(address, deadline)
    problem = OSError("it has no address")
    for index, (family, place) in enumerate(places):
        link = socket.socket(family, socket.SOCK_STREAM)
        try:
            link.settimeout(max(0.001, deadline.left_s / (len(places) - index)))
            link.connect(place)
            _watch(link)
        except OSError as error:
            link.close()
            problem = error
        else:
            return link
    if isinstance(problem, TimeoutError):
        raise SilenceError(f"{_called(address)} did not answer within {deadline}") from problem
    reason = problem.strerror or str(problem)
    raise HostError(f"{_called(address)} cannot be reached: {reason}") from problem


def connect_through(
    jump: paramiko.Transport, jump_name: str, address: Address, deadline: Deadline
) -> "Passage":
    """Connect to a computer from another one.

    Raises:
        HostError: If that one cannot reach it in time.
    """
    place = (address.host_name, address.port)
    try:
        return Passage(
            jump.open_channel("direct-tcpip", place, ("127.0.0.1", 0), timeout=deadline.left_s)
        )
    except paramiko.ChannelException as error:
        raise HostError(
            f"{_called(address)} cannot be reached from {jump_name}, through which its way leads: "
            f"{error.text.lower()}"
        ) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        if jump.is_active():
            raise SilenceError(
                f"{_called(address)} did not answer {jump_name}, through which its way leads, "
                f"within {deadline}"
            ) from error
        raise HostError(f"the connection to {jump_name} was lost") from error


class Passage:
    """A channel through a jump host, which a connection uses like a socket.

    It may be closed after the connection to the jump host was lost; the library's own channel then
    fails, in a thread where nobody but the screen would hear of it.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        """Own a channel."""
        self._channel = channel
        self.send = channel.send
        self.recv = channel.recv
        self.settimeout = channel.settimeout

    @property
    def _closed(self) -> bool:
        """Whether it is closed; the library asks a socket so."""
        return self._channel.closed

    def close(self) -> None:
        """Close it."""
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()


class ProxyProgram:
    """A program whose input and output are the connection."""

    def __init__(self, command: str) -> None:
        """Start it, by a shell, as the ssh configuration has it.

        Raises:
            HostError: If there is no shell.
        """
        self.link, theirs = socket.socketpair()
        with theirs:
            try:
                self._child = subprocess.Popen(
                    ["/bin/sh", "-c", f"exec {command}"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                self.link.close()
                raise HostError(f"ProxyCommand cannot be started: {error.strerror}") from error

    def close(self) -> None:
        """End it, with all that it started."""
        self.link.close()
        end_session(self._child)


def watch_for_answers(transport: paramiko.Transport) -> None:
    """Close a connection that has no socket of its own once nothing is answered on it.

    Behind a jump host or a program the kernel sees only the first part of the way. Somebody must be
    logged in, since a server answers nobody before.
    """

    def watch() -> None:
        while transport.is_active():
            transport.join(IDLE_S)
            timer = threading.Timer(DEAD_AFTER_S - IDLE_S, transport.close)
            timer.daemon = True
            timer.start()
            with suppress(OSError, EOFError, paramiko.SSHException):
                transport.global_request("keepalive@openssh.com", wait=True)
            timer.cancel()

    threading.Thread(target=watch, name="rlmaster-ssh-watch", daemon=True).start()


def _look_up(address: Address, deadline: Deadline) -> list[_Place]:
    """Return the network addresses of a computer; a name server that hangs holds nobody.

    Raises:
        HostError: If there are none, or not in time.
    """
    answer: queue.SimpleQueue[list[_Place] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(address.host_name, address.port, type=socket.SOCK_STREAM)
        except OSError as error:
            answer.put(error)
        except UnicodeError as error:  # a name with an empty part
            answer.put(OSError(str(error)))
        else:
            answer.put([(family, place) for family, _, _, _, place in found])

    threading.Thread(target=look_up, daemon=True).start()
    try:
        found = answer.get(timeout=deadline.left_s)
    except queue.Empty:
        raise SilenceError(
            f"the name {address.host_name} was not looked up within {deadline}"
        ) from None
    if isinstance(found, OSError):
        raise HostError(
            f"{_called(address)} cannot be reached: nobody knows that name; "
            "correct it, or look at the network here"
        ) from found
    return found


def _watch(link: socket.socket) -> None:
    """Let the kernel notice a dead link, whether something is sent on it or not."""
    options = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, ASKED_EVERY_S),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, ASKED_TIMES),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER_S * 1000),
    ]
    for level, option, value in options:
        link.setsockopt(level, option, value)


def _called(address: Address) -> str:
    """Return what messages call a computer, with where it is if that is another word."""
    place = (
        address.host_name if address.port == USUAL_PORT else f"{address.host_name}:{address.port}"
    )
    return address.name if place in address.name else f"{address.name} ({place})"
