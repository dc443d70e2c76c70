"""A lab, whatever its hosts are made of: what a controller needs to reach them."""

import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from lab.host import LabHost
from lab.keys import make_key

SSH_CONFIG_ENTRY = """\
Host {host.name}
    HostName {host.address}
    Port {host.port}
    User {host.user}
    IdentityFile {lab.key}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {lab.known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
"""


class Lab(ABC):
    """Computers that are reached over SSH, and end with this process."""

    python: str
    """An interpreter on each host that has all libraries."""

    def __init__(self, folder: Path) -> None:
        """Make what a controller needs; there are no hosts yet.

        Args:
            folder: A new folder of the lab's own.
        """
        self.folder = folder
        self.hosts: dict[str, LabHost] = {}
        for name in ("shared", "client", "hosts"):
            (folder / name).mkdir(parents=True)
        self.ssh_config = folder / "client" / "config"
        """Names each host; for `ssh -F`."""
        self.known_hosts = folder / "client" / "known_hosts"
        """The key of each host as it was when it was added."""
        self.key = folder / "client" / "id_ed25519"
        """The private key that every host lets in."""
        self.shared = folder / "shared"
        """A folder that every host sees, as /srv/shared if it is made of namespaces."""
        self._public_key = make_key(self.key)
        self.ssh_config.write_text("")
        self.known_hosts.write_text("")

    @property
    def environment(self) -> dict[str, str]:
        """What a process on this machine needs to reach the hosts by name."""
        return {"RLMASTER_SSH_CONFIG": str(self.ssh_config)}

    def add_host(
        self,
        name: str = "office",
        *,
        gpus: str = "",
        shared_home: bool = False,
        behind: LabHost | None = None,
    ) -> LabHost:
        """Add a host and wait until its sshd listens.

        Args:
            name: What it is called.
            gpus: Its GPUs, as fake_nvml.c describes them.
            shared_home: Whether its home is that of all other hosts of which this is said.
            behind: The host through which alone it is reached.
        """
        return self.add_hosts(name, gpus=gpus, shared_home=shared_home, behind=behind)[0]

    @abstractmethod
    def add_hosts(
        self,
        *names: str,
        gpus: str = "",
        shared_home: bool = False,
        behind: LabHost | None = None,
    ) -> list[LabHost]:
        """Add several hosts alike, which come up at the same time; see `add_host`."""

    def write_inventory(self, path: Path, *, local: bool = False, settings: str = "") -> None:
        """Write a hosts.toml that names each host.

        Args:
            path: The file, or a project's folder.
            local: Whether this computer is among them.
            settings: More lines for each host, such as `cpu_slots = 1`.
        """
        path = path / "hosts.toml" if path.is_dir() else path
        local_lines = '[hosts.local]\nkind = "local"\n' if local else ""
        entries = [
            f'[hosts.{name}]\nkind = "ssh"\npython = "{self.python}"\n{settings}\n'
            for name in self.hosts
        ]
        path.write_text("\n".join([local_lines, *entries]))

    def ssh(self, host: LabHost, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a host with OpenSSH's client, to see what a person would see."""
        return subprocess.run(
            ["ssh", "-F", str(self.ssh_config), "-o", "BatchMode=yes", host.name, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every host and leave nothing behind."""
        for host in self.hosts.values():
            host.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def make_home(self, name: str) -> Path:
        """Make a home, if it is not there, that lets our key in."""
        home = self.folder / name
        keys = home / ".ssh" / "authorized_keys"
        keys.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys.write_text(self._public_key + "\n")
        return home

    def introduce(self, host: LabHost, *, jump: str = "") -> None:
        """Let a controller know a host's name and key, and the host that it lies behind."""
        self.hosts[host.name] = host
        with self.ssh_config.open("a") as file:
            file.write(SSH_CONFIG_ENTRY.format(host=host, lab=self))
            file.write(f"    ProxyJump {jump}\n" if jump else "")
        address = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
        with self.known_hosts.open("a") as file:
            file.write(f"{address} {host.public_key}\n")
