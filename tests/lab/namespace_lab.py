"""A lab of hosts that are made of namespaces, for which one has to be root."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from lab.host import LabHost
from lab.laboratory import Lab
from lab.machine import PYTHON, make_environment
from lab.namespace_host import NAMESPACES, NamespaceHost, boot, memory_groups
from lab.network import Network, remove_bridge
from lab.numbers import take_number

PROGRAMS = ("ip", "nft", "unshare", "nsenter", "sshd")


@functools.cache
def namespaces_can_be_made() -> bool:
    """Tell whether this machine lets us make hosts of namespaces."""
    if os.getuid() != 0 or not all(shutil.which(program) for program in PROGRAMS):
        return False
    attempt = ["unshare", *NAMESPACES, "--fork", "ip", "link", "add", "tried", "type", "bridge"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


class NamespaceLab(Lab):
    """Computers on a network of their own.

    Several labs never meet, since each holds a number that its names and addresses are made of.
    What a lab left behind that was killed is removed by the next one.
    """

    python = PYTHON

    def __init__(self) -> None:
        """Make the network; there are no hosts yet."""
        self.number, self._lock = take_number(_remove_leftovers)
        self._network = Network(self.number)
        self._closed = False
        super().__init__(_folder(self.number))
        self.folder.chmod(0o700)
        make_environment(self.folder / "environment")

    def add_hosts(
        self,
        *names: str,
        gpus: str = "",
        shared_home: bool = False,
        behind: LabHost | None = None,
    ) -> list[LabHost]:
        assert behind is None or isinstance(behind, NamespaceHost)
        added: list[NamespaceHost] = []
        for name in names:
            home = self.make_home("shared-home" if shared_home else f"hosts/{name}/home")
            index = len(self.hosts)
            host = NamespaceHost(name, self.folder, home, self._network, index, gateway=behind)
            host.gpus(gpus)
            self.introduce(host, jump=behind.name if behind else "")
            added.append(host)
        boot(added)
        return list(added)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        super().close()
        self._network.close(range(len(self.hosts)))
        os.close(self._lock)


def _folder(number: int) -> Path:
    return Path(f"/tmp/rlmaster-lab-{number}")


def _remove_leftovers(number: int) -> None:
    """Remove what a lab left behind whose process was killed, which ended its hosts."""
    remove_bridge(number)
    shutil.rmtree(_folder(number), ignore_errors=True)
    for group in memory_groups(number):
        group.rmdir()
