"""A laboratory: computers with real sshd, tmux and Python, and what can go wrong with them.

As root each host is a set of Linux namespaces on this machine, with an address, a host key, a home,
a boot id and a file system of its own; `Lab` makes them, and `LabHost` says what can be done to
one. They see neither the checkout nor the rest of the machine, have no route to outside, and
end with the process that made them, however that ends. Without root there is one host, an sshd on
127.0.0.1, and a test that needs more is skipped.
"""

from lab.host import LabHost
from lab.laboratory import Lab
from lab.loopback import LoopbackLab
from lab.namespace_lab import NamespaceLab, namespaces_can_be_made

__all__ = ["Lab", "LabHost", "new_lab"]


def new_lab() -> Lab:
    """Return a lab without hosts, as good as this account may make it."""
    return NamespaceLab() if namespaces_can_be_made() else LoopbackLab()
