"""The network of a lab: a bridge with a /24 of its own, on which hosts are plugged in.

The addresses are of 198.18.0.0/15, which is reserved for tests of networks and leads nowhere.
"""

import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

FIRST_HOST = 11


def run(*command: str | Path, stdin: str = "") -> str:
    """Run a command to its end and return what it printed.

    Raises:
        RuntimeError: If it fails, with what it said.
    """
    done = subprocess.run(
        [str(word) for word in command], input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()}\n{stdin}")
    return done.stdout


class Network:
    """A bridge of which nothing leads outside."""

    def __init__(self, number: int) -> None:
        """Make the bridge of a lab's number, of which all names and addresses are made."""
        self.number = number
        self.bridge = _bridge(number)
        run("ip", "-batch", "-", stdin="\n".join(self._bridge_lines()))

    def host_address(self, index: int) -> str:
        """Return the address of a host, counted from 0."""
        return f"198.18.{self.number}.{FIRST_HOST + index}"

    def plug(self, index: int) -> str:
        """Return the name of a host's network device on the machine's side."""
        return f"{self.bridge}h{index}"

    def plug_in(self, pid_of: dict[int, int]) -> None:
        """Give hosts, by index, a cable to the bridge; each has a process in its namespace."""
        lines: list[str] = []
        for index, pid in pid_of.items():
            peer = f"peer name eth0 address {self._mac(index)} netns {pid}"
            lines.append(f"link add {self.plug(index)} type veth {peer}")
            lines.append(f"link set {self.plug(index)} master {self.bridge} up")
        run("ip", "-batch", "-", stdin="\n".join(lines))

    def plug_in_behind(self, index: int, pid: int, gateway_pid: int) -> None:
        """Give a host a cable to another host alone."""
        peer = f"peer name eth0 address {self._mac(index)} netns {pid}"
        run(*f"ip link add to{index} netns {gateway_pid} type veth {peer}".split())

    def settings(self, index: int, gateway: int | None = None) -> list[str]:
        """Return what `ip -batch` sets up inside a host; its way out ends at the lab."""
        address = self.host_address(index)
        reach = "/24" if gateway is None else f" peer {self.host_address(gateway)}"
        return ["link set lo up", f"addr add {address}{reach} dev eth0", "link set eth0 up"]

    def settings_of_gateway(self, gateway: int, index: int) -> list[str]:
        """Return what `ip -batch` sets up inside a host that another one lies behind."""
        ends = f"{self.host_address(gateway)} peer {self.host_address(index)}"
        return [f"addr add {ends} dev to{index}", f"link set to{index} up"]

    def set_plug(self, index: int, *, up: bool) -> None:
        """Let a host's cable lead somewhere or not."""
        run("ip", "link", "set", self.plug(index), "up" if up else "down")

    def unplug(self, index: int) -> None:
        """Take a host's cable away; packets that are under way are lost."""
        with suppress(RuntimeError):  # it goes by itself with the host's namespace
            run("ip", "link", "delete", self.plug(index))

    def close(self, indices: Iterable[int]) -> None:
        """Remove the bridge and the cables of these hosts."""
        for index in indices:
            self.unplug(index)
        remove_bridge(self.number)

    def _bridge_lines(self) -> list[str]:
        return [
            f"link add {self.bridge} type bridge",
            f"addr add 198.18.{self.number}.1/24 dev {self.bridge}",
            f"link set {self.bridge} up",
        ]

    def _mac(self, index: int) -> str:
        """Return a host's hardware address: the same after a reboot, as that of a computer."""
        return f"02:52:4c:00:{self.number:02x}:{index:02x}"


def remove_bridge(number: int) -> None:
    """Remove the bridge of a lab's number, if there is one; cables go with their hosts."""
    if Path("/sys/class/net", _bridge(number)).exists():
        run("ip", "link", "delete", _bridge(number))


def _bridge(number: int) -> str:
    return f"rlmlab{number}"
