"""Hosts of the lab whose sshd is set up in another way, and other ways to reach them."""

import threading
from contextlib import suppress
from pathlib import Path

from lab import Lab, LabHost
from waiting import wait_until


def set_up(host: LabHost, *lines: str) -> None:
    """Put lines in the configuration of sshd, instead of others about the same, and restart it."""
    config = host.folder / "etc" / "ssh" / "sshd_config"
    keywords = {line.split()[0] for line in lines} - {"HostKey"}
    kept = [line for line in config.read_text().splitlines() if line.split()[0] not in keywords]
    config.write_text("\n".join([*lines, *kept, ""]))
    host.kill_sshd()
    host.start_sshd()


def add_name(lab: Lab, name: str, host: LabHost, *lines: str) -> None:
    """Give a host another name in the ssh configuration, with settings that come first."""
    usual = [f"HostName {host.address}", f"Port {host.port}", f"User {host.user}"]
    usual += [f"UserKnownHostsFile {lab.known_hosts}", "GlobalKnownHostsFile /dev/null"]
    with lab.ssh_config.open("a") as file:
        file.write("\n    ".join([f"Host {name}", *lines, *usual]) + "\n")


def let_in(host: LabHost, public_key: Path) -> None:
    """Let a host accept a key besides the lab's own."""
    with (host.home / ".ssh" / "authorized_keys").open("a") as file:
        file.write(public_key.read_text())


class Leftovers:
    """What was there, to compare with what is there afterwards."""

    def __init__(self) -> None:
        self._threads, self._sockets = set(threading.enumerate()), _open_sockets()

    def vanish(self) -> bool:
        """Wait until no thread and no socket is left that was not there before."""
        return wait_until(
            lambda: set(threading.enumerate()) <= self._threads and _open_sockets() <= self._sockets
        )


def _open_sockets() -> set[str]:
    """Return the sockets of this process; the lab has none that stay."""
    links: set[str] = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the folder itself, which is read no more
            links.add(str(path.readlink()))
    return {link for link in links if link.startswith("socket:")}
