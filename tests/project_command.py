"""A project, and the command `rlmaster` in it, for tests and benchmarks.

What a command starts has its own tmux server and its own folder for locks, and is ended with it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from waiting import wait_until

from rlmaster.hosts.tmux import SOCKET_VARIABLE
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import FOLDER_VARIABLE

TINY_SCRIPT = '''\
"""Pong: a tiny autoencoder.

It shows the whole path within seconds.
"""

from rlmaster import Atari, EmbedderTraining, Experiment, RandomFrames, Recording, launch

experiment = Experiment(
    name="tiny-pong",
    environment=Atari(game="Pong"),
    frames=RandomFrames(steps=1_000),
    training=EmbedderTraining(updates=20, batch_size=8, evaluations=3),
    recording=Recording(previews=2),
)

if __name__ == "__main__":
    launch(experiment)
'''
HOSTS = """\
[hosts.local]
kind = "local"
"""
RATIONALE = "Does the whole path work? 100 % of it, & quickly."


def make_project(folder: Path) -> Path:
    """Make a project with one host and one tiny experiment."""
    (folder / "experiments").mkdir(parents=True)
    (folder / "experiments" / "tiny.py").write_text(TINY_SCRIPT)
    (folder / "hosts.toml").write_text(HOSTS)
    return folder


def make_repository(folder: Path) -> None:
    """Commit all that is in a folder to a new git repository there."""
    git = ["git", "-C", str(folder), "-c", "user.name=tester", "-c", "user.email=tester@localhost"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True, capture_output=True)


class Rlmaster:
    """The command `rlmaster` in a project, with a tmux server, locks and an environment of its own.

    Nobody's desktop hears of what it does, unless a test adds DBUS_SESSION_BUS_ADDRESS.
    """

    def __init__(self, project: Path, scratch: Path) -> None:
        """Prepare an environment; nothing is started yet."""
        self.project = project
        self.scratch = scratch
        self._started: list[subprocess.Popen[bytes]] = []
        (scratch / "tmp").mkdir()
        left_out = {"DBUS_SESSION_BUS_ADDRESS", "RLMASTER_PROJECT", "TMUX", "TMUX_PANE"}
        left_out |= {"COLUMNS", "LINES", "FORCE_COLOR"}  # of the tester's own terminal
        self.environment = {
            **{name: text for name, text in os.environ.items() if name not in left_out},
            "TMPDIR": str(scratch / "tmp"),
            FOLDER_VARIABLE: str(scratch / "tmp"),
            "XDG_STATE_HOME": str(scratch / "state"),
            "XDG_CONFIG_HOME": str(scratch / "config"),
            "TMUX_TMPDIR": str(scratch),
            SOCKET_VARIABLE: scratch.name,
            "OMP_WAIT_POLICY": "PASSIVE",  # several runs may train at once on few cores
        }

    def __call__(
        self,
        *arguments: str,
        typed: str = "",
        bound_s: float = 90.0,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, without a terminal."""
        return self.python(
            "-m", "rlmaster", *arguments, typed=typed, bound_s=bound_s, environment=environment
        )

    def python(
        self,
        *arguments: str,
        typed: str = "",
        bound_s: float = 90.0,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run Python to its end in the project, without a terminal."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.project,
            env={**self.environment, **(environment or {})},
            input=typed,
            capture_output=True,
            text=True,
            timeout=bound_s,
            check=False,
        )

    def command(self, *arguments: str) -> list[str]:
        """Return what a person types, as a list of words."""
        return [sys.executable, "-m", "rlmaster", *arguments]

    def start(
        self, *arguments: str, output: Path | None = None, words: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start Python in the project; it is ended with the test.

        Args:
            arguments: Of the interpreter.
            output: The file that its stdout goes to; nowhere by default.
            words: The file that its stderr goes to; nowhere by default.
        """
        nowhere = Path(os.devnull)
        with (output or nowhere).open("wb") as stdout, (words or nowhere).open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        self._started.append(process)
        return process

    def launch(self, *arguments: str, script: str = "tiny") -> RunFolder:
        """Launch a run without following it, and return its folder."""
        given = ("--rationale", RATIONALE, "--host", "local", "--yes", "--detach", "--json")
        done = self("launch", script, *given, *arguments)
        assert done.returncode == 0, done.stderr
        return RunFolder(Path(json.loads(done.stdout)["run_folder"]))

    def close(self) -> None:
        """End all that was started and still runs: what carries our tmux socket's name."""
        kill = ["tmux", "-L", self.scratch.name, "kill-server"]
        subprocess.run(kill, env=self.environment, capture_output=True, check=False)
        for number in self.processes():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        for process in self._started:
            process.wait()
        wait_until(lambda: not self.processes())

    def processes(self, part_of_command: str = "") -> list[int]:
        """Return the processes that were started here and live, oldest first."""
        mark = f"{SOCKET_VARIABLE}={self.scratch.name}\0".encode()
        found: list[int] = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                ours = mark in (folder / "environ").read_bytes()
                command = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue
            if ours and part_of_command in command:
                found.append(int(folder.name))
        return sorted(found)


@contextmanager
def rlmaster_in(project: Path) -> Iterator[Rlmaster]:
    """Give the command in a project, and end what it started."""
    # A socket's path may have 107 bytes, so it lies in a folder of its own with a short name.
    with tempfile.TemporaryDirectory(
        prefix="rlmaster-test-", dir="/tmp", ignore_cleanup_errors=True
    ) as scratch:
        command = Rlmaster(project, Path(scratch))
        try:
            yield command
        finally:
            command.close()
