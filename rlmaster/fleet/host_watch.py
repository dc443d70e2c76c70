"""The watch on one host: visited as long as it answers, and then again, without haste."""

import random
import threading
import time
from collections.abc import Collection
from contextlib import suppress

from rlmaster.errors import AuthenticationError, HostError, HostKeyError, RlmasterError
from rlmaster.fleet.happenings import HostSeen, Tell
from rlmaster.fleet.session import HostSession
from rlmaster.fleet.settings import Settings
from rlmaster.fleet.tidings import Tidings
from rlmaster.fleet.visit import Attempt, Visit
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.reachability import note_reachable, note_unreachable
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.ssh.connection import AskPassphrase

SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
SETTINGS_LOOK_S = 1.0
"""Between two looks whether a person has changed what keeps a host from being trusted."""
LASTING_S = 30.0
"""A connection that lasted so long was no accident, and is tried again soon."""


class HostWatch:
    """Keeps a connection to one host in a thread of its own."""

    def __init__(
        self,
        project: Project,
        host: Host,
        tidings: Tidings,
        tell: Tell,
        ask: AskPassphrase | None = None,
    ) -> None:
        """Prepare; `start` connects.

        Args:
            project: Whose runs.
            host: A host of kind `ssh`.
            tidings: Tells people what happens in its runs.
            tell: Told what is brought, and whether the host can be reached.
            ask: Asks for the passphrase of an encrypted key; None where nobody is there.
        """
        self.host = host
        self.gathered: set[Attempt] = set()
        """The attempts of which all is here."""
        self._project, self._tidings, self._tell, self._ask = project, tidings, tell, ask
        self._runs: tuple[RunFolder, ...] = ()
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._session: HostSession | None = None
        self._told_trouble = ""
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self, runs: Collection[RunFolder]) -> None:
        """Begin to watch some runs."""
        self._runs = tuple(runs)
        self._thread.start()

    def care_for(self, runs: Collection[RunFolder]) -> None:
        """Watch these runs from now on, and no others."""
        self._runs = tuple(runs)

    def wake(self) -> None:
        """Try at once to reach a host that is left alone for a while."""
        self._wake.set()

    def stop(self) -> None:
        """Leave the host in the middle of whatever goes on; `join` waits until that is done."""
        self._stopped.set()
        self._wake.set()
        if session := self._session:
            with suppress(HostError, OSError):
                session.close()

    def join(self, timeout_s: float) -> None:
        """Wait for a bounded time until the host is left."""
        self._thread.join(timeout_s)

    def _work(self) -> None:
        pause_s = SHORTEST_PAUSE_S
        while not self._stopped.is_set():
            begun, settings = time.monotonic(), Settings(self.host)
            try:
                self._visit()
            except (AuthenticationError, HostKeyError) as error:
                self._note_trouble(str(error))
                self._wait_for_others(settings)
            except (RlmasterError, OSError) as error:
                self._note_trouble(str(error))
            except Exception as error:  # what one host brings about must not end the others' watch
                self._note_trouble(f"{type(error).__name__}: {error}")
            if time.monotonic() - begun > LASTING_S:
                pause_s = SHORTEST_PAUSE_S
            self._pause(pause_s * random.uniform(0.75, 1.25))  # not all hosts of a network at once
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _visit(self) -> None:
        """Be in contact with the host until that is lost, or this watch is stopped.

        Raises:
            HostError: Unless it was stopped.
        """
        session = HostSession.connect(self._project, self.host, ask=self._ask)
        self._session = session
        with session:
            visit = Visit(session, self._tidings, self._tell, self.gathered)
            note_reachable(self._project.runs, self.host.name)
            self._told_trouble = ""
            self._tell(HostSeen(self.host.name, reachable=True))
            try:
                while not self._stopped.is_set():
                    visit.look(self._runs)
            finally:
                self._session = None
                visit.close()

    def _note_trouble(self, reason: str) -> None:
        if self._stopped.is_set():  # it was we who left
            return
        note_unreachable(self._project.runs, self.host.name, reason)
        if reason != self._told_trouble:
            self._told_trouble = reason
            self._tell(HostSeen(self.host.name, reachable=False, reason=reason))

    def _pause(self, seconds: float) -> None:
        if self._wake.wait(seconds) and not self._stopped.is_set():
            self._wake.clear()

    def _wait_for_others(self, settings: Settings) -> None:
        """Wait until settings are no more as they were when the host was tried last.

        To try without end to log in with a key that is refused looks like an attack.
        """
        while not self._stopped.wait(SETTINGS_LOOK_S) and not settings.have_changed():
            pass
