"""A host that is this computer, reached over pipes: the same programs, without the network."""

import os
import select
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from made_runs import make_run

from rlmaster.errors import HostError, SilenceError
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.remote import RemoteHost
from rlmaster.placement import Placement
from rlmaster.run_folder import RunFolder


class PipedProcess:
    """A command that is talked to over pipes, like one over SSH."""

    def __init__(self, command: str) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self._popen = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._stdin, self._stdout = self._popen.stdin, self._popen.stdout
        self._forgotten = b""
        self.received_bytes = 0

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def write(self, content: bytes, *, timeout_s: float = 30.0) -> None:
        try:
            self._stdin.write(content)
            self._stdin.flush()
        except BrokenPipeError as error:
            raise HostError("the command has ended") from error

    def end_input(self) -> None:
        self._stdin.close()

    def read(self, most_bytes: int, *, timeout_s: float) -> bytes:
        if not select.select([self._stdout], [], [], timeout_s)[0]:
            raise SilenceError("nothing was said")
        piece = os.read(self._stdout.fileno(), most_bytes)
        self.received_bytes += len(piece)
        return piece

    def complaint(self) -> bytes:
        return os.pread(self._stderr.fileno(), 65536, 0).removeprefix(self._forgotten)

    def forget_complaint(self, mark: bytes) -> None:
        self._forgotten = mark

    def kill(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)

    def pause(self) -> None:
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Close both ends, and see that it goes by itself, as it must where a link is lost."""
        for stream in (self._stdin, self._stdout):
            with suppress(BrokenPipeError):
                stream.close()
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            self._popen.wait()
            raise
        finally:
            self._stderr.close()


class PipedConnection:
    """Starts commands on this computer."""

    is_alive = True

    def __init__(self) -> None:
        self.started: list[PipedProcess] = []

    def start(self, command: str, *, timeout_s: float = 10.0) -> PipedProcess:
        self.started.append(PipedProcess(command))
        return self.started[-1]

    @property
    def received_bytes(self) -> int:
        return sum(process.received_bytes for process in self.started)


def piped_host() -> RemoteHost:
    """Return a host of the name `office` whose programs run here."""
    return RemoteHost(Host("office", kind="ssh"), PipedConnection())  # type: ignore[arg-type]


def write_scripts_that_say(folder: Path, output: bytes) -> Path:
    """Write programs for a host that say this, whatever they are asked, and then only listen."""
    folder.mkdir()
    (folder / "said").write_bytes(output)
    source = f"""
import sys
with open({str(folder / "said")!r}, "rb") as file:
    sys.stdout.buffer.write(file.read())
sys.stdout.flush()
sys.stdin.buffer.read()
"""
    for name in ("stream_script.py", "files_script.py"):
        (folder / name).write_text(source)
    return folder


def place(run: RunFolder, folder: Path, host: str = "office", **changes: object) -> None:
    """Say that a run is made in a folder of a host."""
    facts = {
        "host": host,
        "kind": "ssh",
        "computer": host,
        "machine": f"{host}-1",
        "folder": str(folder),
        "workspace": str(folder.parents[2]),
        "python": "/usr/bin/python3",
        "threads": 1,
    }
    run.write_placement(Placement(**{**facts, **changes}))  # type: ignore[arg-type]


def run_on_host(tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    """Make a run here that is made on a host, and its folder there."""
    here = make_run(tmp_path / "here" / "runs")
    there = RunFolder(tmp_path / "there" / "runs" / here.name / here.id)
    there.path.mkdir(parents=True)
    place(here, there.path)
    return here, there
