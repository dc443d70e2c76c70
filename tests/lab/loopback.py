"""A lab for those who may not make namespaces: one host, an sshd on 127.0.0.1.

It is this computer under this account, with a home, locks, tmux and queue of its own. What it
cannot do skips the test.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from waiting import wait_until

from lab.host import NEEDED, LabHost, command_of, is_sshd, listens
from lab.keys import make_key
from lab.laboratory import Lab
from lab.machine import SHARED_FOLDER, sshd_config

SSHD = shutil.which("sshd", path=os.defpath + ":/usr/sbin:/sbin")
UNTIL_WE_END = '"$@" & while read -r _; do :; done; kill $! 2>/dev/null'
"""Runs a command for as long as we hold the other end of its input."""
LIKE_AT_HOME = """\
StrictModes no
ForceCommand cd "$HOME" && eval "$SSH_ORIGINAL_COMMAND"
"""
"""The home is ours, and not the one that the account has."""
MARK = "RLMASTER_LAB"
"""Variable in the environment of what a session starts: the folder of its lab."""


class LoopbackHost(LabHost):
    """An sshd on 127.0.0.1."""

    address = "127.0.0.1"

    def __init__(self, name: str, folder: Path, home: Path) -> None:
        """Make its files; `start_sshd` starts it."""
        self.name, self.folder, self.home = name, folder, home
        self.user = getpass.getuser()
        self.port = _free_port()
        self._orphans: list[int] = []
        self._guard: subprocess.Popen[bytes] | None = None
        for inner in ("host/lib", "etc/ssh", "locks", "tmux"):
            (folder / inner).mkdir(parents=True)
        self.environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "LD_LIBRARY_PATH": str(folder / "host" / "lib"),
            "FAKE_GPUS": str(folder / "host" / "gpus.txt"),
            "RLMASTER_LOCKS": str(folder / "locks"),
            "TMUX_TMPDIR": str(folder / "tmux"),
            "XDG_STATE_HOME": str(home / ".local" / "state"),
            "XDG_CONFIG_HOME": str(home / ".config"),
            MARK: str(folder),
        }
        self.write_sshd_config()
        self.public_key = make_key(folder / "etc" / "ssh" / "host_key")

    def write_sshd_config(self) -> None:
        (self.folder / "etc" / "ssh" / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress {self.address}\n{LIKE_AT_HOME}"
            + sshd_config(
                self.environment,
                key=self.folder / "etc" / "ssh" / "host_key",
                pid_file=self.folder / "sshd.pid",
                authorized_keys=self.home / ".ssh" / "authorized_keys",
            )
        )

    def start_up_file(self, text: str) -> None:
        self._needs_shared_folder_for(text)
        super().start_up_file(text)

    def set_environment(self, changes: Mapping[str, str]) -> None:
        self._needs_shared_folder_for(*changes.values())
        super().set_environment(changes)

    def _needs_shared_folder_for(self, *texts: str) -> None:
        """Skip the test where it names the folder that only hosts of namespaces see there."""
        if any(SHARED_FOLDER in text for text in texts):
            self.needs_namespaces()

    def inside(self, path: str | Path) -> Path:
        return self.needs_namespaces()

    def execute(
        self, argv: Sequence[str], *, stdin: str = "", check: bool = True, bound_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv,
            input=stdin,
            env={**os.environ, **self.environment},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=bound_s,
            check=False,
        )
        assert not check or done.returncode == 0, f"{argv} on {self.name}: {done.stderr}"
        return done

    def processes(self, part_of_command: str = "") -> list[int]:
        mark = f"{MARK}={self.folder}\0".encode()
        found: list[int] = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        return sorted(pid for pid in found if part_of_command in command_of(pid))

    def sshd(self, *, sessions: bool) -> list[int]:
        listeners = _sshd_started_by(self._guard.pid) if self._guard else []
        if not sessions:
            return listeners
        orphans = [pid for pid in self._orphans if is_sshd(pid)]
        return [*listeners, *(below for pid in listeners for below in _sessions(pid)), *orphans]

    def kill_sshd(self, *, sessions: bool = True) -> None:
        if not sessions:
            self._orphans += self.sshd(sessions=True)
        super().kill_sshd(sessions=sessions)

    def start_sshd(self) -> None:
        self._end_guard()
        # One that was just killed has lost its name before its port.
        wait_until(lambda: not listens(os.getpid(), self.port))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd of Debian asks for it, if root starts it
        config = self.folder / "etc" / "ssh" / "sshd_config"
        sshd = [str(SSHD), "-D", "-f", str(config), "-E", str(self.folder / "sshd.log")]
        self._guard = subprocess.Popen(
            ["bash", "-c", UNTIL_WE_END, "sshd", *sshd], stdin=subprocess.PIPE
        )
        wait_until(lambda: listens(os.getpid(), self.port))

    def rotate_key(self) -> str:
        key = make_key(self.folder / "etc" / "ssh" / "host_key")
        self.kill_sshd(sessions=False)
        self.start_sshd()
        return key

    def close(self) -> None:
        for pid in self.sshd(sessions=True) + self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.processes())
        self._end_guard()

    def _end_guard(self) -> None:
        if self._guard is not None:
            self._guard.communicate()
        self._guard = None


class LoopbackLab(Lab):
    """One host on this computer."""

    python = sys.executable

    def __init__(self) -> None:
        """Make its folder, whose name is short since sockets are in it."""
        if SSHD is None or shutil.which("ssh") is None:
            pytest.skip("OpenSSH's client and server are not installed")
        super().__init__(Path(tempfile.mkdtemp(prefix="rlmaster-lab-", dir="/tmp")))

    def add_hosts(
        self,
        *names: str,
        gpus: str = "",
        shared_home: bool = False,
        behind: LabHost | None = None,
    ) -> list[LabHost]:
        if len(names) + len(self.hosts) > 1 or shared_home or behind:
            pytest.skip(f"there is one host, an sshd on 127.0.0.1; {NEEDED}")
        host = LoopbackHost(names[0], self.folder / "hosts" / names[0], self.make_home("home"))
        host.gpus(gpus)
        self.introduce(host)
        host.start_sshd()
        return [host]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _sshd_started_by(parent: int) -> list[int]:
    """Return the living processes of sshd that a process started."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, started_by, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(started_by) == parent and state != "Z" and is_sshd(int(folder.name)):
                found.append(int(folder.name))
    return found


def _sessions(pid: int) -> list[int]:
    """Return the processes of sshd below one of them, and not what these started."""
    children = _sshd_started_by(pid)
    return [*children, *(below for child in children for below in _sessions(child))]
