"""What tests do with a computer of the lab."""

import os
import re
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest
from waiting import wait_until

from lab.libraries import fake_clock, fake_nvml

NEEDED = "hosts of namespaces need root, with ip, nft, unshare and sshd"


class LabHost(ABC):
    """A computer with sshd, and what can go wrong with it.

    Faults that need namespaces skip the test where there are none.
    """

    name: str
    """What the ssh configuration of the lab calls it, and its own name."""
    address: str
    port: int
    user: str
    home: Path
    """Its user's home, as seen from here."""
    folder: Path
    """Its folder in the lab's."""
    public_key: str
    """The key that it had when it was added, which known_hosts has."""
    environment: dict[str, str]
    """What sshd gives to each session."""

    @abstractmethod
    def inside(self, path: str | Path) -> Path:
        """Return a path that leads from here to an absolute path inside, while it is up."""

    @abstractmethod
    def execute(
        self, argv: Sequence[str], *, stdin: str = "", check: bool = True, bound_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end, not over SSH, with the environment of a session.

        Raises:
            AssertionError: If it fails and that is checked.
        """

    @abstractmethod
    def processes(self, part_of_command: str = "") -> list[int]:
        """Return its processes by their numbers here, oldest first."""

    @abstractmethod
    def start_sshd(self) -> None:
        """Start sshd, and wait until it listens."""

    @abstractmethod
    def sshd(self, *, sessions: bool) -> list[int]:
        """Return the process of sshd that listens, and those of its sessions where asked."""

    @abstractmethod
    def rotate_key(self) -> str:
        """Give it another host key, which known_hosts does not have, and return it."""

    @abstractmethod
    def write_sshd_config(self) -> None:
        """Write what sshd reads when it starts."""

    @abstractmethod
    def close(self) -> None:
        """End it for good, with all that runs there."""

    def kill_sshd(self, *, sessions: bool = True) -> None:
        """End sshd, with the sessions that it has unless these may go on."""
        pids = self.sshd(sessions=sessions)
        for pid in pids:
            with suppress(ProcessLookupError):  # a session ends with the one before it
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not set(pids) & set(self.sshd(sessions=True)))

    def pause_sshd(self, *, sessions: bool = False) -> None:
        """Let it take connections and say nothing; with its sessions all hangs."""
        self._signal_sshd(signal.SIGSTOP, sessions=sessions)

    def resume_sshd(self) -> None:
        """Let all of sshd go on."""
        self._signal_sshd(signal.SIGCONT, sessions=True)

    def start_up_file(self, text: str) -> None:
        """Write what the account's shell runs before each command: its .bashrc."""
        (self.home / ".bashrc").write_text(text)

    def gpus(self, text: str) -> None:
        """Give it GPUs, as fake_nvml.c describes them; with "" not even a driver."""
        library = self.folder / "host" / "lib" / "libnvidia-ml.so.1"
        library.unlink(missing_ok=True)
        if text:
            library.write_bytes(fake_nvml())
            (self.folder / "host" / "gpus.txt").write_text(text)

    def set_environment(self, changes: Mapping[str, str]) -> None:
        """Give each new session more environment."""
        self.environment.update(changes)
        self.write_sshd_config()
        self.kill_sshd(sessions=False)
        self.start_sshd()

    def set_clock(self, ahead_s: int) -> None:
        """Let the clock of each new session be wrong by so many seconds; times of files are not."""
        (self.folder / "host" / "lib" / "fake_clock.so").write_bytes(fake_clock())
        library = self.environment["LD_LIBRARY_PATH"].partition(":")[0] + "/fake_clock.so"
        self.set_environment({"LD_PRELOAD": library, "FAKE_CLOCK_AHEAD": str(ahead_s)})

    def reboot(self) -> None:
        """Start it anew: what runs is gone, with /tmp and /run; home and address stay."""
        self.needs_namespaces()

    def power_off(self) -> None:
        """Cut its power: whoever is connected is told nothing."""
        self.needs_namespaces()

    def power_on(self) -> None:
        """Start it after `power_off`, and wait until sshd listens."""
        self.needs_namespaces()

    def link(self, *, up: bool) -> None:
        """Pull its network cable, or plug it in again."""
        self.needs_namespaces()

    def drop_packets(self, drop: bool) -> None:
        """Let every packet vanish, both ways, or no more; connections stay open."""
        self.needs_namespaces()

    def small_disk(self, path: str, megabytes: int) -> None:
        """Put a disk of its own at a folder inside, which is made; it goes with a reboot."""
        self.needs_namespaces()

    def fill(self, path: str) -> None:
        """Leave no byte free on the small disk at a folder."""
        with (self.inside(path) / "filling").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(65536))

    def free(self, path: str) -> None:
        """Give back what `fill` took."""
        (self.inside(path) / "filling").unlink()

    def make_read_only(self, path: str, *, read_only: bool = True) -> None:
        """Let nobody write to the small disk at a folder, or again everybody."""
        self.needs_namespaces()

    def limit_memory(self, megabytes: int) -> None:
        """Let the kernel kill what uses more memory, of all that runs there from now on."""
        self.needs_namespaces()

    def needs_namespaces(self) -> NoReturn:
        """Skip the test here unless hosts are made of namespaces."""
        pytest.skip(f"the host is an sshd on 127.0.0.1; {NEEDED}")

    def _signal_sshd(self, number: int, *, sessions: bool) -> None:
        for pid in self.sshd(sessions=sessions):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def listens(pid: int, port: int) -> bool:
    """Tell whether somebody listens on a port, in the network of a process."""
    pattern = rf":{port:04X} 0+:0000 0A"
    with suppress(OSError):
        return re.search(pattern, Path(f"/proc/{pid}/net/tcp").read_text()) is not None
    return False


def is_sshd(pid: int) -> bool:
    """Tell whether a process is one of sshd's own, and not what a session started."""
    return re.match(r"(/usr/s?bin/)?sshd\b", command_of(pid)) is not None


def command_of(pid: int) -> str:
    """Return a process's command line; "" where it has none or is gone."""
    with suppress(OSError):
        content = Path(f"/proc/{pid}/cmdline").read_bytes()
        return content.replace(b"\0", b" ").decode(errors="replace")
    return ""
