"""A command on another computer that is talked to while it runs, and waited for with a bound."""

from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread, Timer
from types import TracebackType
from typing import Self

import paramiko

from rlmaster.errors import HostError, SilenceError
from rlmaster.ssh.deadline import Deadline

MOST_BYTES = 16 * 2**20
"""Longest output of a command that is kept; whoever says more is not listened to."""
MOST_COMPLAINT_BYTES = 64 * 1024
"""How much of a command's stderr is kept: its last words."""
PIECE_BYTES = 32 * 1024
"""How much is handed to the connection at a time: what fits one of SSH's messages."""
ANSWER_S = 5.0
"""How long a connection may take to show that it is still there."""


@dataclass(frozen=True)
class Execution:
    """What a command said, and how it ended."""

    stdout: bytes
    stderr: bytes
    """The last of it where it is much."""
    exit_code: int | None
    """None where a signal ended it."""


class Process:
    """A command that runs on the other computer and is talked to.

    It has one reader and one writer, which may be two threads. Whatever it says on stderr is taken
    up whenever stdout is read, so that it never waits for somebody to listen.
    """

    def __init__(self, address: str, channel: paramiko.Channel) -> None:
        """Own a channel on which a command runs."""
        self.address = address
        self._channel = channel
        self._arrival = Event()
        self._complaint = bytearray()
        self._mark = b""
        # Both are read by this class alone, which looks at both before it waits for either.
        channel.in_buffer.set_event(self._arrival)
        channel.in_stderr_buffer.set_event(self._arrival)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, content: bytes, *, timeout_s: float = 30.0) -> None:
        """Send to its stdin.

        Raises:
            HostError: If it does not take it in time, or is gone.
        """
        deadline = Deadline(timeout_s)
        left = memoryview(content)
        while left:
            left = left[self._send(bytes(left[:PIECE_BYTES]), deadline) :]

    def end_input(self) -> None:
        """Let it see the end of its stdin."""
        with suppress(OSError, EOFError, paramiko.SSHException):  # it has ended, which is read
            self._channel.shutdown_write()

    def read(self, most_bytes: int, *, timeout_s: float) -> bytes:
        """Return what comes next from its stdout, at least a byte; nothing at its end.

        Raises:
            HostError: If nothing comes in time, or the connection is lost.
        """
        deadline = Deadline(timeout_s)
        while True:
            has_ended = self._channel.eof_received or self._channel.closed  # then nothing follows
            self._take_complaint()
            if self._channel.recv_ready():
                return self._channel.recv(most_bytes)
            if has_ended:
                return self._end()
            if deadline.is_over or not self._arrival.wait(deadline.left_s):
                raise SilenceError(f"a command on {self.address} said nothing for {deadline}")

    def complaint(self) -> bytes:
        """Return what has come from its stderr so far, the last of it where it is much."""
        self._take_complaint()
        if not self._mark:
            return bytes(self._complaint)
        return bytes(self._complaint.rpartition(self._mark)[2])

    def forget_complaint(self, mark: bytes) -> None:
        """Forget what has come from its stderr up to a mark."""
        self._mark = mark

    def communicate(
        self, stdin: bytes, deadline: Deadline, most_bytes: int = MOST_BYTES
    ) -> Execution:
        """Send all that it reads, and listen to its end.

        Raises:
            HostError: If it does not end in time, says too much, or the connection is lost.
        """
        # Beside, since it may take no more input before its output is read.
        Thread(target=self._send_all, args=(stdin, deadline), daemon=True).start()
        try:
            stdout = self._read_all(deadline, most_bytes)
            exit_code = self.exit_code(timeout_s=deadline.left_s)
        except SilenceError as error:
            raise SilenceError(
                f"a command on {self.address} did not end within {deadline}"
            ) from error
        return Execution(stdout, self.complaint(), exit_code)

    def exit_code(self, *, timeout_s: float = 10.0) -> int | None:
        """Wait for its end and return how it ended; None where a signal ended it.

        Raises:
            HostError: If it does not end in time, or the connection is lost.
        """
        if not self._channel.status_event.wait(timeout_s):
            raise SilenceError(
                f"a command on {self.address} did not end within {Deadline(timeout_s)}"
            )
        if self._channel.exit_status >= 0:
            return self._channel.exit_status
        if not self._connection_answers():
            raise _lost(self.address)
        return None

    def close(self) -> None:
        """End it: its input ends, and nobody listens to it."""
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()

    def _send_all(self, stdin: bytes, deadline: Deadline) -> None:
        with suppress(HostError):  # how it ends says whether it wanted more
            self.write(stdin, timeout_s=deadline.left_s)
            self.end_input()

    def _read_all(self, deadline: Deadline, most_bytes: int) -> bytes:
        pieces: list[bytes] = []
        left_bytes = most_bytes
        while piece := self.read(PIECE_BYTES, timeout_s=deadline.left_s):
            left_bytes -= len(piece)
            if left_bytes < 0:
                raise HostError(f"a command on {self.address} said more than {most_bytes:,} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def _send(self, piece: bytes, deadline: Deadline) -> int:
        """Send a piece, or a part of it; return how much."""
        self._channel.settimeout(max(0.001, deadline.left_s))
        try:
            sent = self._channel.send(piece)
        except TimeoutError as error:
            raise SilenceError(
                f"a command on {self.address} did not take its input within {deadline}"
            ) from error
        except (OSError, EOFError, paramiko.SSHException):
            sent = 0
        if not sent:
            raise HostError(self._why_it_takes_nothing())
        return sent

    def _why_it_takes_nothing(self) -> str:
        if not self._connection_answers():
            return str(_lost(self.address))
        return f"a command on {self.address} ended before it had taken its input"

    def _take_complaint(self) -> None:
        if self._channel.recv_stderr_ready():  # all that is there, which the window bounds
            self._complaint += self._channel.recv_stderr(MOST_BYTES)
            del self._complaint[:-MOST_COMPLAINT_BYTES]

    def _end(self) -> bytes:
        """Return nothing, where its stdout has really ended.

        Raises:
            HostError: If it was cut: then the other side has not said that it ends.
        """
        if self._channel.eof_received or self._connection_answers():
            return b""
        raise _lost(self.address)

    def _connection_answers(self) -> bool:
        """Tell whether the connection is there, by asking the other side.

        The channel of a command that a signal has ended looks just like that of a lost connection.
        """
        transport = self._channel.get_transport()
        try:
            transport.open_session(timeout=ANSWER_S).close()
        except paramiko.ChannelException:  # a refusal is an answer
            return True
        except (OSError, EOFError, paramiko.SSHException):
            return False
        return True


def start_process(
    address: str, transport: paramiko.Transport, command: str, deadline: Deadline
) -> Process:
    """Start a command.

    Raises:
        HostError: If it cannot be started in time.
    """
    try:
        channel = transport.open_session(timeout=deadline.left_s)
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise _no_start(address, transport, error, deadline) from error
    # The library waits without end for the word that the command runs, but not once it is closed.
    timer = Timer(deadline.left_s, channel.close)
    timer.daemon = True
    timer.start()
    try:
        channel.exec_command(command)
    except (OSError, EOFError, paramiko.SSHException) as error:
        channel.close()
        raise _no_start(address, transport, error, deadline) from error
    finally:
        timer.cancel()
    return Process(address, channel)


def _no_start(
    address: str, transport: paramiko.Transport, error: Exception, deadline: Deadline
) -> HostError:
    if not transport.is_active():
        return _lost(address)
    if isinstance(error, paramiko.ChannelException):
        return HostError(f"{address} refuses to start a command ({error.text}); try again later")
    if deadline.is_over:
        return SilenceError(f"{address} started no command within {deadline}")
    return HostError(f"{address} starts no commands for this account; ask who looks after it")


def _lost(address: str) -> HostError:
    return HostError(f"the connection to {address} was lost")
