"""A host that is a set of Linux namespaces on this machine."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from waiting import wait_until

from lab.host import LabHost, command_of, is_sshd, listens
from lab.keys import make_key
from lab.machine import HOST_FOLDER, environment, make_etc, sshd_config, write_fstab
from lab.network import Network

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMORY_LIMIT = "memory.max"
if (CONTROL_GROUPS / "memory").is_dir():  # version 1 of control groups
    CONTROL_GROUPS, MEMORY_LIMIT = CONTROL_GROUPS / "memory", "memory.limit_in_bytes"
INIT = Path(__file__).parent / "host_init.sh"
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--time")
DROP_ALL = """
table inet lab {
    chain in { type filter hook input priority 0; policy drop; iif lo accept; }
    chain out { type filter hook output priority 0; policy drop; oif lo accept; }
}
"""


class NamespaceHost(LabHost):
    """A host with a network, processes, a name, an uptime and a file system of its own.

    The user is root there, as on this machine.
    """

    port = 22
    user = "root"

    def __init__(
        self,
        name: str,
        lab_folder: Path,
        home: Path,
        network: Network,
        index: int,
        gateway: "NamespaceHost | None" = None,
    ) -> None:
        """Make its files; `boot` starts it.

        Args:
            name: What it is called.
            lab_folder: The lab's folder; the host's own is in it.
            home: The folder that is its /root.
            network: Where it is plugged in.
            index: Its number on the network, from 0.
            gateway: The host that it is plugged into instead, so that nobody else reaches it.
        """
        self.name, self.home, self.gateway = name, home, gateway
        self.address = network.host_address(index)
        self.folder = lab_folder / "hosts" / name
        self.index = index
        self.pid = 0
        """Its first process, by its number here; 0 while it is off."""
        self.behind: list[NamespaceHost] = []
        self._lab_folder, self._network = lab_folder, network
        self._outside: subprocess.Popen[bytes] | None = None
        self.environment = environment()
        for folder in ("root", "host/lib"):
            (self.folder / folder).mkdir(parents=True)
        make_etc(self.folder / "etc", name)
        self.write_sshd_config()
        self.public_key = make_key(self.folder / "etc" / "ssh" / "host_key")
        if gateway:
            gateway.behind.append(self)

    def write_sshd_config(self) -> None:
        config = self.folder / "etc" / "ssh" / "sshd_config"
        config.write_text(sshd_config(self.environment))

    def inside(self, path: str | Path) -> Path:
        return Path(f"/proc/{self.pid}/root{path}")

    def execute(
        self, argv: Sequence[str], *, stdin: str = "", check: bool = True, bound_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["nsenter", "--target", str(self.pid), "--all", "--", *argv],
            input=stdin,
            env={"HOME": "/root", "USER": "root", "SHELL": "/bin/bash", **self.environment},
            capture_output=True,
            text=True,
            timeout=bound_s,
            check=False,
        )
        assert not check or done.returncode == 0, f"{argv} on {self.name}: {done.stderr}"
        return done

    def processes(self, part_of_command: str = "") -> list[int]:
        namespace = _pid_namespace(self.pid) if self.pid else "off"
        return [
            pid
            for pid in sorted(int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
            if pid != self.pid
            and _pid_namespace(pid) == namespace
            and part_of_command in command_of(pid)
        ]

    def sshd(self, *, sessions: bool) -> list[int]:
        found = [pid for pid in self.processes("sshd") if is_sshd(pid)]
        return [pid for pid in found if sessions or "[listener]" in command_of(pid)]

    def start_sshd(self) -> None:
        # One that was just killed has lost its name before its port.
        wait_until(lambda: not listens(self.pid, self.port))
        self.execute(["/usr/sbin/sshd", "-E", f"{HOST_FOLDER}/sshd.log"])
        self.wait_for_sshd()

    def wait_for_sshd(self) -> None:
        """Wait until sshd listens."""
        wait_until(lambda: listens(self.pid, self.port))

    def rotate_key(self) -> str:
        key = make_key(self.folder / "etc" / "ssh" / "host_key")
        self.kill_sshd(sessions=False)
        self.start_sshd()
        return key

    def reboot(self) -> None:
        self._end()
        self._unplug()
        boot([self])

    def power_off(self) -> None:
        self._unplug()
        self._end()

    def power_on(self) -> None:
        boot([self])

    def link(self, *, up: bool) -> None:
        setting = ("up" if up else "down",)
        if self.gateway:
            self.gateway.execute(["ip", "link", "set", f"to{self.index}", *setting])
        else:
            self._network.set_plug(self.index, up=up)

    def drop_packets(self, drop: bool) -> None:
        self.execute(["nft", "-f", "-"], stdin=DROP_ALL if drop else "delete table inet lab")

    def small_disk(self, path: str, megabytes: int) -> None:
        self.execute(["mkdir", "-p", path])
        self.execute(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", path])

    def make_read_only(self, path: str, *, read_only: bool = True) -> None:
        self.execute(["mount", "-o", f"remount,{'ro' if read_only else 'rw'}", path])

    def limit_memory(self, megabytes: int) -> None:
        group = self._memory_group()
        try:
            group.mkdir(exist_ok=True)
            (group / MEMORY_LIMIT).write_text(str(megabytes * 2**20))
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            pytest.skip(f"this machine limits no memory: {error}")

    def close(self) -> None:
        self._end()
        with suppress(OSError):
            self._memory_group().rmdir()

    def begin(self) -> None:
        """Start its first process, which then waits for a network."""
        write_fstab(self.folder, self._lab_folder, self.home)
        since_boot = int(time.clock_gettime(time.CLOCK_BOOTTIME))
        with (self.folder / "start.log").open("wb") as log:
            self._outside = subprocess.Popen(
                [
                    *("unshare", *NAMESPACES, "--boottime", str(1 - since_boot)),
                    *("--fork", "--kill-child", "bash", INIT, self.folder, self.name),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PATH": os.defpath + ":/usr/sbin:/sbin", "LANG": "C.UTF-8"},
            )

    def read_pid(self) -> None:
        """Wait until `begin` has come to where it waits for a network."""
        assert self._outside is not None
        assert self._outside.stdout is not None
        line = self._outside.stdout.readline()
        assert line, (self.folder / "start.log").read_text()
        self.pid = int(line)

    def set_up_network(self) -> None:
        """Let it set up its end of the cable, after which it starts sshd."""
        assert self._outside is not None
        assert self._outside.stdin is not None
        gateway = self.gateway.index if self.gateway else None
        lines = self._network.settings(self.index, gateway)
        self._outside.stdin.write((";".join(lines) + "\n").encode())
        self._outside.stdin.flush()

    def plug_in_behind(self) -> None:
        """Plug it into its gateway."""
        assert self.gateway is not None
        self._network.plug_in_behind(self.index, self.pid, self.gateway.pid)
        lines = self._network.settings_of_gateway(self.gateway.index, self.index)
        self.gateway.execute(["ip", "-batch", "-"], stdin="\n".join(lines))

    def plug_in_again(self) -> None:
        """Plug it into its gateway after that has started anew."""
        assert self.gateway is not None
        self._unplug()
        self.plug_in_behind()
        lines = self._network.settings(self.index, self.gateway.index)
        self.execute(["ip", "-batch", "-"], stdin="\n".join(lines))

    @property
    def network(self) -> Network:
        """Where it is plugged in."""
        return self._network

    def _unplug(self) -> None:
        if self.gateway is None:
            self._network.unplug(self.index)
        elif self.pid:
            self.execute(["ip", "link", "delete", "eth0"], check=False)

    def _end(self) -> None:
        """Kill its first process, and with it all; it is gone when this returns."""
        if self._outside is None:
            return
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        else:
            self._outside.kill()
        self._outside.communicate()
        self._outside, self.pid = None, 0

    def _memory_group(self) -> Path:
        return CONTROL_GROUPS / f"rlmaster-lab-{self._network.number}-{self.index}"


def boot(hosts: Iterable[NamespaceHost]) -> None:
    """Start hosts, all at once, and wait until each one's sshd listens."""
    hosts = list(hosts)
    for host in hosts:
        host.begin()
    for host in hosts:
        host.read_pid()
    direct = {host.index: host.pid for host in hosts if not host.gateway}
    if direct:
        hosts[0].network.plug_in(direct)
    for host in hosts:
        if host.gateway:
            host.plug_in_behind()
        host.set_up_network()
    for host in hosts:
        for other in host.behind:
            if other.pid and other not in hosts:
                other.plug_in_again()
        host.wait_for_sshd()


def memory_groups(number: int) -> list[Path]:
    """Return the control groups of a lab's hosts."""
    return list(CONTROL_GROUPS.glob(f"rlmaster-lab-{number}-*"))


def _pid_namespace(pid: int) -> str:
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    return "none"
