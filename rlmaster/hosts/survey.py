"""Asking all hosts at once how busy they are, each for itself: one that hangs delays no other."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from rlmaster.errors import HostError
from rlmaster.hosts.environment import Pins, python_path
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.probing import probe_local, probe_remote, unmeasured
from rlmaster.hosts.queue import Queue
from rlmaster.hosts.reachability import note_reachable, note_unreachable, unreachable_since
from rlmaster.hosts.selection import Candidate
from rlmaster.project import Project

if TYPE_CHECKING:
    from rlmaster.hosts.remote import RemoteHost
    from rlmaster.ssh.connection import AskPassphrase

TIMEOUT_S = 5.0
"""How long a host may take to be reached and to answer."""
LEAST_ANSWER_S = 2.0
"""How long a host that was reached late still has to answer."""
GRACE_S = 3.0
"""How long after that a host is given up whose thread is held beyond all deadlines."""


def survey(
    project: Project,
    hosts: Sequence[Host],
    *,
    ask: "AskPassphrase | None" = None,
    timeout_s: float = TIMEOUT_S,
) -> Iterator[Candidate]:
    """Ask hosts side by side; yield each as it answers, or once it is given up.

    Args:
        project: Whose runs would go there.
        hosts: Whom to ask.
        ask: Asks a person for the passphrase of a key file; None where nobody is there.
        timeout_s: How long each may take; what a person takes to answer is not counted.

    Raises:
        ProjectError: If what the project's runs need cannot be read.
    """
    surveyor = _Surveyor(project, hosts, ask, timeout_s)
    yield from surveyor.answers(hosts)


def ask_local(project: Project, host: Host, timeout_s: float = TIMEOUT_S) -> Candidate:
    """Ask this computer, which is here and has a queue even where it is too busy to answer."""
    queue = Queue.here()
    try:
        probe = probe_local(project.root, timeout_s=timeout_s)
    except HostError as error:
        probe = unmeasured(str(error))
    return Candidate(host, probe, waiting=len(queue.waiting()), drained=queue.is_drained)


def ask_connected(remote: "RemoteHost", pins: Pins, timeout_s: float = TIMEOUT_S) -> Candidate:
    """Ask a computer that is connected.

    Args:
        remote: The computer.
        pins: What runs need there, if hosts.toml names no interpreter of its own.
        timeout_s: How long it may take.

    Raises:
        HostError: If there is no answer in time, or none that can be understood.
    """
    python = python_path(remote.host, remote.host.workspace, pins)
    probe = probe_remote(remote, python, timeout_s=timeout_s)
    waiting = probe.waiting or 0
    return Candidate(remote.host, probe, waiting=waiting, drained=probe.drained)


@dataclass(frozen=True)
class _Question:
    """What a thread wants to know of the person."""

    key: str
    answer: SimpleQueue[str | None] = field(default_factory=SimpleQueue[str | None])


class _Surveyor:
    """What all threads of one survey share."""

    def __init__(
        self,
        project: Project,
        hosts: Sequence[Host],
        ask: "AskPassphrase | None",
        timeout_s: float,
    ) -> None:
        self._project = project
        self._ask_person = ask
        self._timeout_s = timeout_s
        remote = [host for host in hosts if host.kind == "ssh"]
        if remote:  # paramiko takes a while to import, and threads would stand in each other's way
            import_module("rlmaster.hosts.remote")
        needed = any(not host.python for host in remote)
        self._pins = Pins.here(project.root) if needed else Pins(())
        self._begun = time.monotonic()
        self._said: SimpleQueue[Candidate | _Question] = SimpleQueue()

    def answers(self, hosts: Sequence[Host]) -> Iterator[Candidate]:
        for host in hosts:  # daemons: one that hangs in a library must not hold the exit
            threading.Thread(target=self._answer, args=(host,), daemon=True).start()
        longest_s = self._timeout_s + LEAST_ANSWER_S + GRACE_S
        missing = {host.name: host for host in hosts}
        try:
            while missing and (said := self._next(longest_s)):
                del missing[said.host.name]
                yield said
        finally:
            self._ask_person = None  # nobody is there any more for a thread that comes late
        for host in missing.values():
            yield Candidate(host, None, unreachable=f"no answer within {longest_s:g} s")

    def _next(self, longest_s: float) -> Candidate | None:
        """Return what comes next, having asked the person what is to be asked; None in the end."""
        while True:
            try:
                said = self._said.get(timeout=max(0.0, self._begun + longest_s - time.monotonic()))
            except Empty:
                return None
            if isinstance(said, Candidate):
                return said
            said.answer.put(self._ask_person(said.key) if self._ask_person else None)
            self._begun = time.monotonic()  # what the person takes to answer is nobody's delay

    def _answer(self, host: Host) -> None:
        self._said.put(self._candidate(host))

    def _candidate(self, host: Host) -> Candidate:
        """Ask one host; whatever goes wrong is its own answer."""
        try:
            if host.kind == "local":
                return ask_local(self._project, host, self._timeout_s)
            return self._remote(host)
        except HostError as error:
            return Candidate(host, None, unreachable=str(error))
        except Exception as error:  # a library's, which must not cost the answers of the others
            return Candidate(host, None, unreachable=f"{type(error).__name__}: {error}")

    def _remote(self, host: Host) -> Candidate:
        from rlmaster.hosts.remote import RemoteHost

        ask = self._ask if self._ask_person else None
        begun = time.monotonic()
        try:
            remote = RemoteHost.connect(host, timeout_s=self._timeout_s, ask=ask)
        except HostError as error:
            note_unreachable(self._project.runs, host.name, str(error))
            unreachable = unreachable_since(self._project.runs, host.name)
            return Candidate(host, None, unreachable=str(unreachable or error))
        note_reachable(self._project.runs, host.name)
        with remote:
            left_s = max(LEAST_ANSWER_S, begun + self._timeout_s - time.monotonic())
            return ask_connected(remote, self._pins, left_s)

    def _ask(self, key: str) -> str | None:
        """Let the thread that waits for the answers ask the person: a Ctrl-C reaches that one."""
        if self._ask_person is None:
            return None
        question = _Question(key)
        self._said.put(question)
        return question.answer.get()
