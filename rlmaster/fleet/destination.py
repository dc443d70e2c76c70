"""Another computer, as the destination of a launch."""

from collections.abc import Generator
from contextlib import contextmanager

from rlmaster.durable_files import JsonObject
from rlmaster.errors import HostError, LaunchError, RlmasterError
from rlmaster.fleet.owed import owe, wake_watcher
from rlmaster.fleet.session import HostSession, Say
from rlmaster.fleet.shipping import hand_over, placement_on
from rlmaster.hosts.inventory import Host
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import FINAL_STATES, Status
from rlmaster.ssh.connection import AskPassphrase


class Elsewhere:
    """A host that is connected, as a destination."""

    def __init__(self, session: HostSession, threads: int, say: Say) -> None:
        """Go to a host, which stays the caller's; `reached` connects to one."""
        self._session, self._threads, self._say = session, threads, say
        self._status: Status | None = None

    @classmethod
    @contextmanager
    def reached(
        cls, project: Project, host: Host, threads: int, say: Say, ask: AskPassphrase | None
    ) -> Generator["Elsewhere"]:
        """Connect to a host for a launch.

        Args:
            project: Whose run it is.
            host: A host of kind `ssh`.
            threads: Cores that the run has to itself.
            say: Told each step as it happens, one sentence each.
            ask: Asks for the passphrase of an encrypted key; None where nobody is there.

        Raises:
            HostError: If it cannot be reached, or has no environment for runs.
        """
        with HostSession.connect(project, host, ask=ask) as session:
            _ = session.python  # before anything is made
            yield cls(session, threads, say)

    def has(self, parent: RunFolder) -> bool:
        """Tell whether another run is made there."""
        placement = parent.elsewhere()
        return placement is not None and placement.machine == self._session.machine

    def place(self, run: RunFolder) -> JsonObject:
        """Write where the run is made, and that it is to be followed, before it is a run."""
        placement = placement_on(self._session, run, attempt=1, threads=self._threads)
        owe(run)
        run.write_placement(placement)
        return {
            "computer": placement.computer,
            "python": placement.python,
            "folder": placement.folder,
        }

    def begin(self, run: RunFolder) -> None:
        """Hand the run over; where that is cut, whoever follows runs elsewhere completes it.

        Raises:
            HostError: If it cannot be handed over now; the run is kept.
        """
        host = self._session.host.name
        try:
            self._status = hand_over(self._session, run, self._say)
        except RlmasterError as error:
            raise HostError(
                f"{error}; run {run.short_id} is kept, and goes to {host} by itself as soon as "
                "that is possible (`rlmaster watch` shows it)"
            ) from error
        finally:
            wake_watcher(self._session.project.runs)

    def await_start(self, run: RunFolder) -> None:
        """See that the run has begun, or is known to wait, which handing over has told.

        Raises:
            LaunchError: If its worker did not begin.
        """
        status = self._status
        if status is not None and status.state in FINAL_STATES and not status.lock:
            raise LaunchError(
                f"{status.state}: {status.reason}; `rlmaster follow {run.short_id}` brings its log"
            )
