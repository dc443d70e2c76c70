"""One host asked again and again how busy it is, over a connection that stays open."""

import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlmaster.errors import AuthenticationError, HostError, HostKeyError, RlmasterError
from rlmaster.hosts.environment import Pins
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.reachability import note_reachable, note_unreachable, unreachable_since
from rlmaster.hosts.selection import Candidate
from rlmaster.hosts.survey import GRACE_S, LEAST_ANSWER_S, TIMEOUT_S, ask_connected, ask_local
from rlmaster.project import Project

if TYPE_CHECKING:  # paramiko takes a while to import, and who has only this computer needs none
    from rlmaster.fleet.settings import Settings
    from rlmaster.hosts.remote import RemoteHost
    from rlmaster.ssh.connection import AskPassphrase

LONGEST_PAUSE_S = 60.0
"""A host that cannot be reached is tried less and less often, down to this."""
SETTINGS_LOOK_S = 1.0
"""Between two looks whether a person has changed what keeps a host from being trusted."""
GIVEN_UP_S = TIMEOUT_S + LEAST_ANSWER_S + GRACE_S
"""How long after a question a host counts as silent whose thread is held beyond all deadlines."""


@dataclass(frozen=True)
class Known:
    """What is known of a host now."""

    candidate: Candidate
    is_pending: bool = False
    """Whether it has neither answered yet nor been given up."""


class HostContact:
    """Asks one host in a thread of its own."""

    def __init__(
        self,
        project: Project,
        host: Host,
        every_s: float,
        changed: threading.Event,
        ask: "AskPassphrase | None",
    ) -> None:
        """Prepare; `start` begins to ask.

        Args:
            project: Whose runs would go there.
            host: Whom to ask.
            every_s: How long it is left alone after its answer.
            changed: Set when something new is known.
            ask: Asks for the passphrase of an encrypted key; None where nobody is there.
        """
        self.host = host
        self._project, self._every_s, self._changed = project, every_s, changed
        self._ask_person = ask
        self._stopped = threading.Event()
        self._remote: RemoteHost | None = None
        self._asked_s: float | None = None
        """When it was asked what it has not answered yet, monotonic."""
        asking = Candidate(host, None, unreachable="asking ...")
        self._known = Known(asking, is_pending=True)

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._work, daemon=True).start()

    def stop(self) -> None:
        """Leave the host, in the middle of whatever goes on."""
        self._stopped.set()
        if remote := self._remote:
            with suppress(HostError, OSError):
                remote.connection.close()

    def known(self) -> Known:
        """Return its last answer, or that it gives none."""
        asked_s = self._asked_s
        if asked_s is not None and time.monotonic() - asked_s > GIVEN_UP_S:
            reason = f"no answer within {GIVEN_UP_S:g} s"
            return Known(Candidate(self.host, None, unreachable=reason))
        return self._known

    def _work(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            settings = self._settings()
            try:
                self._tell(self._answer())
                failures = 0
            except (AuthenticationError, HostKeyError) as error:
                self._tell(Candidate(self.host, None, unreachable=self._since(error)))
                self._wait_for_others(settings)
            except (RlmasterError, OSError) as error:
                failures += 1
                self._tell(Candidate(self.host, None, unreachable=self._since(error)))
            except Exception as error:  # a library's, which must not end the thread
                failures += 1
                reason = f"{type(error).__name__}: {error}"
                self._tell(Candidate(self.host, None, unreachable=reason))
            self._pause(failures)
        self._leave()

    def _settings(self) -> "Settings | None":
        """Return what decides whether it lets us in, where that is about to be tried."""
        if self.host.kind == "local" or self._alive():
            return None
        from rlmaster.fleet.settings import Settings

        return Settings(self.host)

    def _answer(self) -> Candidate:
        """Ask, having connected where that is needed.

        Raises:
            RlmasterError: If there is no answer.
        """
        self._asked_s = time.monotonic()
        if self.host.kind == "local":
            return ask_local(self._project, self.host)
        remote = self._connected()
        try:
            pins = Pins(()) if self.host.python else Pins.here(self._project.root)
            return ask_connected(remote, pins)
        except HostError:
            self._leave()
            raise

    def _connected(self) -> "RemoteHost":
        """Return the connection, a new one if that of before is lost.

        Raises:
            HostError: If it cannot be reached or trusted.
        """
        if remote := self._alive():
            return remote
        self._leave()
        from rlmaster.hosts.remote import RemoteHost

        ask = self._ask if self._ask_person else None
        try:
            self._remote = RemoteHost.connect(self.host, timeout_s=TIMEOUT_S, ask=ask)
        except HostError as error:
            note_unreachable(self._project.runs, self.host.name, str(error))
            raise
        note_reachable(self._project.runs, self.host.name)
        self._asked_s = time.monotonic()
        return self._remote

    def _alive(self) -> "RemoteHost | None":
        """Return the connection, unless there is none or it is lost."""
        remote = self._remote
        return remote if remote is not None and remote.connection.is_alive else None

    def _ask(self, key: str) -> str | None:
        """Ask the person, whose time is nobody's delay."""
        self._asked_s = None
        try:
            return self._ask_person(key) if self._ask_person else None
        finally:
            self._asked_s = time.monotonic()

    def _since(self, error: Exception) -> str:
        """Say why there is no answer, and since when where it cannot be reached at all."""
        known = unreachable_since(self._project.runs, self.host.name)
        return str(known) if known and known.reason == str(error) else str(error)

    def _tell(self, candidate: Candidate) -> None:
        self._known, self._asked_s = Known(candidate), None
        self._changed.set()

    def _pause(self, failures: int) -> None:
        pause_s = min(self._every_s * 2.0 ** min(failures, 10), LONGEST_PAUSE_S)
        if failures:  # not all hosts of a network at once
            pause_s *= random.uniform(0.75, 1.25)
        self._stopped.wait(max(pause_s, self._every_s))

    def _wait_for_others(self, settings: "Settings | None") -> None:
        """Wait until a person has changed something: the same again would be refused again.

        To try without end to log in with a key that is refused looks like an attack.
        """
        while settings and not settings.have_changed() and not self._stopped.wait(SETTINGS_LOOK_S):
            pass

    def _leave(self) -> None:
        """Close the connection, if there is one."""
        remote, self._remote = self._remote, None
        if remote is not None:
            with suppress(HostError, OSError):
                remote.connection.close()
