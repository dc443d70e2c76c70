"""Another computer, as the rest of RLmaster uses it: programs are sent there, and answer.

What the account's shell there prints before a program begins (start-up files that say something) is
set apart by a mark that nobody can guess, and one that never lets a program begin is named. Nothing
is sent before the mark has come, so that a start-up file that reads takes nothing from a program.
"""

import json
import os
import secrets
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rlmaster.durable_files import JsonObject, parse_object
from rlmaster.errors import HostError, RemoteError, SilenceError
from rlmaster.hosts.inventory import Host
from rlmaster.ssh.address import Target
from rlmaster.ssh.connection import AskPassphrase, Connection
from rlmaster.ssh.deadline import Deadline
from rlmaster.ssh.process import Execution, Process

SCRIPTS = Path(__file__).parent / "scripts"
BOOTSTRAP = """\
import sys
if sys.version_info < (3, 8):
    sys.exit("its python3 is version %d.%d, and 3.8 is needed" % sys.version_info[:2])
import json, zlib
stdin = sys.stdin.buffer
sent = json.loads(zlib.decompress(stdin.read(int(stdin.readline()))))
sys.argv = ["rlmaster"] + sent["arguments"]
if sent["begin"]:
    print(sent["begin"], flush=True)
exec(compile(sent["script"], "rlmaster-script", "exec"), {"__name__": "__main__"})
"""
"""Reads a program from stdin and becomes it, with what follows on stdin left for it."""
START = "import sys;exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
"""Reads the bootstrap: no shell, be it fish or tcsh, sees anything but plain characters in it."""
MOST_NOISE_BYTES = 64 * 1024
"""How much the start-up files of the shell there may print."""
LAST_WORDS = 200
"""How many characters of them fit into a sentence."""
MOST_CHARACTERS = 2_000
"""How much of what a computer said is shown."""
NOT_FOUND = 127
"""Exit code of a shell that does not find a program."""


class RemoteHost:
    """A host of kind `ssh` that is connected."""

    def __init__(self, host: Host, connection: Connection, workspace: str = "") -> None:
        """Use a connection, which is closed with it; `connect` makes one.

        Args:
            host: Which host of the inventory it is.
            connection: The way there.
            workspace: Its folder there, for `rlmaster`; that of the inventory by default.
        """
        self.host = host
        self.connection = connection
        self.workspace = workspace or host.workspace
        self.noise = ""
        """What start-up files of the shell there print before every program; they should not."""

    @classmethod
    def connect(
        cls, host: Host, *, timeout_s: float = 10.0, ask: AskPassphrase | None = None
    ) -> "RemoteHost":
        """Connect to a host of the inventory.

        Raises:
            HostError: If it cannot be reached or trusted, with what to do.
        """
        return cls(host, Connection.open(host.ssh_address, timeout_s=timeout_s, ask=ask))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.connection.close()

    def run_script(
        self,
        name: str,
        arguments: Sequence[str] = (),
        stdin: bytes = b"",
        *,
        timeout_s: float = 30.0,
    ) -> bytes:
        """Run one of `scripts/` there and return what it printed.

        Args:
            name: File in `scripts/`, such as `probe_script.py`.
            arguments: What it finds in `sys.argv[1:]`.
            stdin: What it reads from `sys.stdin.buffer`.
            timeout_s: How long it may take altogether.

        Raises:
            HostError: If it does not begin, fails or does not end in time.
        """
        done = self._run(name, arguments, stdin, timeout_s)
        if done.exit_code == 0:
            return done.stdout
        raise HostError(f"{self.host.name}: {_how_it_failed(done)}")

    def start_script(
        self, name: str, arguments: Sequence[str] = (), *, timeout_s: float = 10.0
    ) -> Process:
        """Start one of `scripts/` there, to be talked to; it has begun when this returns.

        Raises:
            HostError: If it does not begin in time.
        """
        deadline = Deadline(timeout_s)
        mark = _mark()
        process = self._begin(deadline)
        try:
            with suppress(HostError):  # why it takes nothing is what it says, or its end
                process.write(_sent(name, arguments, begin=mark), timeout_s=deadline.left_s)
            self._wait_for_begin(mark, process, deadline)
        except HostError:
            process.close()
            raise
        return process

    def rlmaster(
        self,
        python: str,
        code_folder: str,
        *arguments: str,
        timeout_s: float = 60.0,
    ) -> JsonObject:
        """Run `rlmaster ... --json` there, in the workspace, and return its answer.

        Args:
            python: Interpreter there that has the libraries.
            code_folder: Folder there that holds the package.
            arguments: What a person would type after `rlmaster`, without `--json`.
            timeout_s: How long it may take altogether.

        Raises:
            RemoteError: If it refuses; the sentence is its own.
            HostError: If it cannot be asked, or its answer cannot be understood.
        """
        program = {
            "program": [python, "-m", "rlmaster", *_with_json(arguments)],
            "folder": self.workspace,
            "environment": {
                "PYTHONPATH": code_folder,
                "PYTHONUNBUFFERED": "1",
                "RLMASTER_PROJECT": self.workspace,
                "RLMASTER_HOSTS": os.devnull,  # the hosts of whoever sits there are not ours
            },
        }
        done = self._run("exec_script.py", [json.dumps(program)], b"", timeout_s)
        if done.exit_code != 0:
            raise RemoteError(f"{self.host.name}: {_how_it_failed(done)}", done.exit_code or -1)
        return parse_answer(done.stdout, self.host.name)

    def _run(
        self, name: str, arguments: Sequence[str], stdin: bytes, timeout_s: float
    ) -> Execution:
        deadline = Deadline(timeout_s)
        sent = _sent(name, arguments) + stdin
        with self._begin(deadline) as process:
            return process.communicate(sent, deadline)

    def _begin(self, deadline: Deadline) -> Process:
        """Start Python there, up to where it waits for a program.

        Raises:
            HostError: If it does not come to that, with what is in its way.
        """
        mark = _mark()
        # Any shell there understands this: in single quotes, without a quote or backslash in them.
        command = f"exec /bin/sh -c 'echo {mark}; echo {mark} >&2; exec python3 -I -c \"{START}\"'"
        process = self.connection.start(command, timeout_s=deadline.left_s)
        try:
            self.noise = self._noise_before(mark, process, deadline)
        except HostError:
            process.close()
            raise
        process.forget_complaint(f"{mark}\n".encode())
        return process

    def _noise_before(self, mark: str, process: Process, deadline: Deadline) -> str:
        """Return what start-up files print.

        Raises:
            HostError: If they let no program begin.
        """
        try:
            said, has_come = _up_to(mark, process, deadline)
        except SilenceError as error:
            raise SilenceError(self._hindrance("hangs, or the computer does", b"")) from error
        if len(said) > MOST_NOISE_BYTES:
            raise HostError(self._hindrance("prints without end", said))
        if not has_come:
            said += process.complaint()
            raise HostError(self._hindrance("ends it before a program begins", said))
        return cleaned(said)

    def _wait_for_begin(self, mark: str, process: Process, deadline: Deadline) -> None:
        """Wait until a script has begun.

        Raises:
            HostError: If it does not, with why.
        """
        line, said = f"{mark}\n".encode(), b""
        while said != line:
            piece = process.read(len(line) - len(said), timeout_s=deadline.left_s)
            said += piece
            if not piece:
                ended = Execution(said, process.complaint(), process.exit_code())
                raise HostError(f"{self.host.name}: {_how_it_failed(ended)}")
            if not line.startswith(said):
                raise wrong_answer(self.host.name)

    def _hindrance(self, does: str, said: bytes) -> str:
        words = cleaned(said).split("\n")[-1][-LAST_WORDS:]
        command = Target.parse(self.host.ssh_address).ssh_command
        return (
            f"{self.host.name}: a start-up file of the shell there, such as ~/.bashrc, {does}"
            f"{f' (its last words: {words})' if words else ''}; see what `{command} true` says, "
            "and correct it"
        )


def parse_answer(content: bytes, host: str) -> JsonObject:
    """Read one JSON object that a program there printed; nothing of it is trusted.

    Raises:
        HostError: If it is none.
    """
    data = parse_object(content)
    if data is None:
        raise wrong_answer(host)
    return data


def wrong_answer(host: str) -> HostError:
    """Return what to raise where a program there did not say what ours would."""
    return HostError(f"{host} answered with something else than was asked")


def cleaned(said: bytes) -> str:
    """Return the last of what a computer said, as lines that cannot move a cursor."""
    lines = said.decode(errors="replace")[-MOST_CHARACTERS:].splitlines()
    shown = (
        "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
        for line in lines
    )
    return "\n".join(line.rstrip() for line in shown if line.strip())


def _how_it_failed(done: Execution) -> str:
    """Say why a program failed there, in its own words where it has some."""
    words = cleaned(done.stderr)
    if done.exit_code is None:
        return "a signal ended the program there"
    if done.exit_code == NOT_FOUND and "python3" in words:
        return "there is no python3 on the PATH of its shell; install Python 3.8 or later"
    if "Traceback (most recent call last)" in words:
        words = words.split("\n")[-1]
    if "No space left on device" in words:
        return f"its disk is full ({words}); make room there"
    return words or f"the program there failed with exit code {done.exit_code}, without a word"


def _mark() -> str:
    return f"rlmaster-{secrets.token_hex(8)}"


def _up_to(mark: str, process: Process, deadline: Deadline) -> tuple[bytes, bool]:
    """Return what a process says before a line that is a mark, and whether that comes.

    Nothing follows it, since the other side then waits for us.

    Raises:
        HostError: If there is neither the mark nor an end in time.
    """
    line = f"{mark}\n".encode()
    said = b""
    while len(said) <= MOST_NOISE_BYTES:
        piece = process.read(MOST_NOISE_BYTES, timeout_s=deadline.left_s)
        said += piece
        if not piece or said.endswith(line):
            break
    return said.removesuffix(line), said.endswith(line)


def _with_json(arguments: Sequence[str]) -> list[str]:
    """Add `--json`, where it is an option still."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [*arguments[:end], "--json", *arguments[end:]]


def _sent(name: str, arguments: Sequence[str], begin: str = "") -> bytes:
    """Return what Python there reads: the bootstrap, and what that reads then.

    Args:
        name: File in `scripts/`.
        arguments: For the script.
        begin: A line that is printed when the script begins.
    """
    payload = {
        "script": (SCRIPTS / name).read_text(encoding="utf-8"),
        "arguments": list(arguments),
        "begin": begin,
    }
    content = zlib.compress(json.dumps(payload).encode())
    bootstrap = BOOTSTRAP.encode()
    return b"%d\n%s%d\n%s" % (len(bootstrap), bootstrap, len(content), content)
