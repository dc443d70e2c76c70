"""A connection to a computer over SSH, of which every call has an end."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rlmaster.ssh.address import route
from rlmaster.ssh.authentication import authenticate
from rlmaster.ssh.deadline import Deadline
from rlmaster.ssh.hop import Hop, open_hop
from rlmaster.ssh.keys import AskPassphrase as AskPassphrase
from rlmaster.ssh.link import watch_for_answers
from rlmaster.ssh.process import MOST_BYTES, Execution, Process, start_process

# The library logs tracebacks of its own threads, which would tear whatever is on the screen.
_log = logging.getLogger("paramiko")
_log.addHandler(logging.NullHandler())
_log.propagate = False


class Connection:
    """A connection to one computer, maybe through others."""

    def __init__(self, address: str, hops: Sequence[Hop], closing: ExitStack) -> None:
        """Own connections, each through the one before it; `open` makes them.

        Args:
            address: What messages call the computer.
            hops: The connections; the last is that to the computer.
            closing: Closes them.
        """
        self.address = address
        self._hops = tuple(hops)
        self._closing = closing

    @classmethod
    def open(
        cls, address: str, *, timeout_s: float = 10.0, ask: AskPassphrase | None = None
    ) -> "Connection":
        """Connect.

        Args:
            address: A name from the user's ssh configuration, or `user@host:port`.
            timeout_s: How long it may take altogether; while a person is asked, it stands still.
            ask: Asks for the passphrase of an encrypted key; None where nobody is there.

        Raises:
            HostKeyError: If it is not to be trusted, with what to do.
            AuthenticationError: If it does not let this account in, with what to do.
            HostError: If there is no connection, with what to do.
        """
        deadline = Deadline(timeout_s)
        hops: list[Hop] = []
        with ExitStack() as closing:
            for place in route(address, deadline):
                deadline.no_later_than(place.connect_timeout_s)
                hops.append(open_hop(place, hops[-1] if hops else None, deadline, closing))
                authenticate(hops[-1].transport, place, deadline, ask)
                if not hops[-1].has_own_socket:
                    watch_for_answers(hops[-1].transport)
            return cls(address, hops, closing.pop_all())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_alive(self) -> bool:
        """Whether it may be used; a link that was cut is noticed within ten seconds."""
        return all(hop.transport.is_active() for hop in self._hops)

    @property
    def host_key_type(self) -> str:
        """The kind of key that the computer was recognised by, such as `ssh-ed25519`."""
        return self._hops[-1].transport.get_remote_server_key().get_name()

    def execute(
        self, command: str, stdin: bytes = b"", *, timeout_s: float, most_bytes: int = MOST_BYTES
    ) -> Execution:
        """Run a command to its end.

        Args:
            command: For the account's own shell there; quote what is not a constant.
            stdin: What it reads; then its input ends.
            timeout_s: How long it may take altogether.
            most_bytes: How much it may say on stdout; of stderr the last part is kept.

        Raises:
            HostError: If it does not end in time, says too much, or the connection is lost.
        """
        deadline = Deadline(timeout_s)
        transport = self._hops[-1].transport
        with start_process(self.address, transport, command, deadline) as process:
            return process.communicate(stdin, deadline, most_bytes)

    def start(self, command: str, *, timeout_s: float = 10.0) -> Process:
        """Start a command that is talked to while it runs.

        Raises:
            HostError: If it cannot be started in time.
        """
        transport = self._hops[-1].transport
        return start_process(self.address, transport, command, Deadline(timeout_s))

    def close(self) -> None:
        """End the connection; processes that were started with it lose their input."""
        self._closing.close()
