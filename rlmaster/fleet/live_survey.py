"""All hosts asked again and again how busy they are.

Each has a thread of its own, so that one that hangs delays no other.
"""

import threading
from importlib import import_module
from typing import TYPE_CHECKING

from rlmaster.durable_files import signature
from rlmaster.errors import InventoryError
from rlmaster.fleet.host_contact import HostContact, Known
from rlmaster.hosts.inventory import Host, read_inventory, user_hosts_path
from rlmaster.project import Project

if TYPE_CHECKING:
    from rlmaster.ssh.connection import AskPassphrase


class LiveSurvey:
    """Asks the hosts of a project, those that hosts.toml names at the time."""

    def __init__(
        self, project: Project, every_s: float, ask: "AskPassphrase | None" = None
    ) -> None:
        """Read hosts.toml; nobody is asked before `start`.

        Args:
            project: Whose hosts.
            every_s: How long a host is left alone after its answer.
            ask: Asks for the passphrase of an encrypted key; None where nobody is there.
        """
        self.problem = ""
        """What is wrong with hosts.toml; while it is, the hosts are those of before."""
        self._project, self._every_s, self._ask = project, every_s, ask
        self._changed = threading.Event()
        self._contacts: list[HostContact] = []
        self._read: object = None
        self._is_started = False
        self.read_hosts()

    def start(self) -> None:
        """Begin to ask."""
        self._is_started = True
        for contact in self._contacts:
            _start(contact)

    def wait(self, seconds: float) -> None:
        """Return as soon as something new is known, and after so many seconds whatever happens."""
        self._changed.wait(seconds)
        self._changed.clear()

    def known(self) -> list[Known]:
        """Return what is known of each host, in the order of hosts.toml."""
        return [contact.known() for contact in self._contacts]

    def stop(self) -> None:
        """Leave all hosts."""
        for contact in self._contacts:
            contact.stop()

    def read_hosts(self) -> None:
        """Read hosts.toml again if it has changed; hosts that stay as they are stay connected."""
        files = (self._project.hosts_file, user_hosts_path())
        if self._read == (seen := [signature(file) for file in files]):
            return
        self._read = seen
        try:
            hosts = read_inventory(self._project.hosts_file).hosts
        except InventoryError as error:
            self.problem = str(error)
            return
        self.problem = ""
        before = {contact.host: contact for contact in self._contacts}
        self._contacts = [before.pop(host, None) or self._new_contact(host) for host in hosts]
        for contact in before.values():
            contact.stop()

    def _new_contact(self, host: Host) -> "HostContact":
        contact = HostContact(self._project, host, self._every_s, self._changed, self._ask)
        if self._is_started:
            _start(contact)
        return contact


def _start(contact: HostContact) -> None:
    if contact.host.kind == "ssh":  # here, since threads would stand in each other's way
        import_module("rlmaster.fleet.settings")
        import_module("rlmaster.hosts.remote")
    contact.start()
