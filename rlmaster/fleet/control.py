"""Stopping, giving up, resuming and moving runs that are made elsewhere, or shall be.

Whoever does that wakes the watcher afterwards, which brings here what comes of it.

What is wanted of a run elsewhere is written here first: its status (which attempt waits) and its
placement (where). Whoever is in contact with the host brings that about, so a command that is cut
leaves nothing half done; see `fleet.shipping.hand_over`.
"""

import platform
import sys
from dataclasses import replace

from rlmaster import lifecycle
from rlmaster.errors import HostError, InventoryError, RunFolderError
from rlmaster.fleet.owed import owe
from rlmaster.fleet.pull import pull
from rlmaster.fleet.run_files import Selection
from rlmaster.fleet.session import HostSession, Say
from rlmaster.fleet.shipping import hand_over, placement_on
from rlmaster.fleet.there import answered, later, let_go, locked, placement_of, standing
from rlmaster.hosts.inventory import Host, read_inventory
from rlmaster.launched_experiment import require_as_launched
from rlmaster.placement import Left, Placement, machine
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_status import FINAL_STATES, RESUMABLE_STATES, WAITING_STATES, State, Status
from rlmaster.ssh.connection import AskPassphrase

ABANDON_PROBE_S = 5.0
"""How long a host that is given up has to say that it is there."""


class RunControl:
    """What a person may do with the runs of a project."""

    def __init__(self, project: Project, *, say: Say, ask: AskPassphrase | None = None) -> None:
        """Know the project's hosts.

        Args:
            project: Whose runs.
            say: Told each step that takes time, one sentence each.
            ask: Asks for the passphrase of an encrypted key; None where nobody is there.
        """
        self._project = project
        self._inventory = read_inventory(project.hosts_file)
        self._say, self._ask = say, ask

    # ---------------------------------------------------------------------------------- stop

    def stop(self, run: RunFolder) -> Status:
        """Take a run out of its queue, or ask it to keep its work and end.

        Returns:
            How it stands now where it is made.

        Raises:
            HostError: If its host cannot be asked.
            RunFolderError: If the request cannot be written.
        """
        status = run.status()
        if status.state in FINAL_STATES:
            return status
        with self._session(run) as session:
            if status.state is State.PREPARED:
                hand_over(session, run, self._say)  # what has been begun can be withdrawn there
            return self._stop_there(session, run) or self._withdraw(session, run)

    def _stop_there(self, session: HostSession, run: RunFolder) -> Status | None:
        """Have a run's host end it; None where it has not got what is wanted of it."""
        there = standing(session, run, "look-after", placement_of(run).folder)
        if there is None or there.attempt < run.status().attempt:
            return None
        return answered(session, run, "stop", "--no-wait")

    def _withdraw(self, session: HostSession, run: RunFolder) -> Status:
        """End an attempt that its host has not got: its resume was cut, or its folder is gone."""
        with locked(run):  # so that nobody hands it over meanwhile
            if there := self._stop_there(session, run):
                return there
            status = run.status()
            if status.state is State.RUNNING:
                reason = f"its folder is gone from {session.host.name}"
                status = status.enter(State.LOST, reason=reason)
            elif status.state in WAITING_STATES:
                status = status.enter(State.STOPPED, reason="it was taken out of the queue")
            run.write_status(status)
            return status

    def await_end(self, run: RunFolder) -> Status:
        """Return how a run stands that was asked to end, once it has.

        Raises:
            RunFolderError: If it does not.
            HostError: If its host cannot be asked any more.
        """
        with self._session(run, is_told=True) as session:
            return lifecycle.await_end(run, lambda: answered(session, run, "look-after"))

    def abandon(self, run: RunFolder) -> Status:
        """Give up a run whose host cannot be asked, so that it can be resumed somewhere else.

        Its host is told to stop it as soon as there is contact, and what it has done is ignored.

        Raises:
            RunFolderError: If it does not run, or its host can be asked.
        """
        placement = placement_of(run)
        self._refuse_if_it_answers(run, placement)
        with locked(run):
            status = run.status()
            if status.state in FINAL_STATES:
                raise RunFolderError(f"run {run.short_id} is {status.state}; nobody has it")
            reason = f"{placement.host} could not be asked, and somebody gave it up"
            left = Left(placement.host, placement.folder, status.attempt)
            run.write_placement(replace(placement, left=(*placement.left, left)))
            owe(run)  # the host must still be told
            end = State.LOST if status.state is State.RUNNING else State.STOPPED
            given_up = status.enter(end, reason=reason)
            run.write_status(given_up)
            return given_up

    def _refuse_if_it_answers(self, run: RunFolder, placement: Placement) -> None:
        try:
            host = self._inventory.find(placement.host)
            self._say(f"connecting to {host.name}")
            HostSession.connect(
                self._project, host, ask=self._ask, timeout_s=ABANDON_PROBE_S
            ).close()
        except (HostError, InventoryError) as error:
            self._say(str(error))
            return
        raise RunFolderError(
            f"{placement.host} can be asked; `rlmaster stop {run.short_id}` ends the run there"
        )

    # -------------------------------------------------------------------------------- resume

    def resume(self, run: RunFolder, host_name: str | None = None) -> Status:
        """Queue the next attempt of a run that was stopped, failed or lost.

        Args:
            run: The run.
            host_name: Where it goes on; by default where it was.

        Returns:
            How it stands then.

        Raises:
            RunFolderError: If it cannot be resumed, with what can be done instead.
            UsageError: If its configuration was changed here, with what makes a new run of that.
            HostError: If a host that must be asked cannot.
        """
        require_as_launched(run)
        placement = run.placement()
        if host_name is None or (placement and placement.host == host_name):
            return self._resume_in_place(run, placement_of(run))
        return self._move(run, self._inventory.find(host_name))

    def _resume_in_place(self, run: RunFolder, placement: Placement) -> Status:
        with self._session(run) as session:
            last = self._ended(run, session)
            placement = placement.having_told(placement.host, placement.folder)
            return self._queue_on(session, run, placement, last)

    def _move(self, run: RunFolder, host: Host) -> Status:
        """Resume a run on another computer than it was on, with all that is known of it."""
        last, untold = self._end_where_it_was(run)
        if host.kind == "local":
            return self._bring_home(run, host, last, untold)
        self._say(f"connecting to {host.name}")
        with HostSession.connect(self._project, host, ask=self._ask) as session:
            earlier = let_go(session, run, session.folder_of(run), last)
            attempt = max(status.attempt for status in (last, earlier) if status) + 1
            placement = placement_on(session, run, attempt).having_left(untold)
            placement = placement.having_told(host.name, placement.folder)
            return self._queue_on(session, run, placement, last)

    def _bring_home(
        self, run: RunFolder, host: Host, last: Status, untold: tuple[Left, ...]
    ) -> Status:
        with locked(run):
            last = later(run.status(), last)
            placement = _placement_here(run, host, last.attempt + 1)
            run.write_status(last)  # first: what is here must not seem to run elsewhere
            run.write_placement(placement.having_left(untold))
        return lifecycle.resume(run)

    def _queue_on(
        self, session: HostSession, run: RunFolder, placement: Placement, last: Status
    ) -> Status:
        """Write where the next attempt is wanted, then bring it about."""
        with locked(run):
            queued = later(run.status(), last).next_attempt(placement.computer)
            queued = replace(queued, attempt=max(queued.attempt, placement.from_attempt))
            run.write_placement(placement)
            owe(run)
            run.write_status(queued)
            with RunIndex(self._project.runs) as index:  # which passes over what has ended
                index.refresh(run)
            return hand_over(session, run, self._say)

    def _end_where_it_was(self, run: RunFolder) -> tuple[Status, tuple[Left, ...]]:
        """See to it that no attempt of a run lives, and fetch what only its old place has.

        Returns:
            How it ended; and its old place, if that could not be told that it is its no more.

        Raises:
            RunFolderError: If it has not ended.
            HostError: If nobody can say whether it has.
            InventoryError: As well, of a host that hosts.toml does not name any more.
        """
        if run.is_here():
            last = lifecycle.look_after(run)
            _refuse_unless_resumable(run, last)
            return last, ()
        placement = placement_of(run)
        try:
            return self._fetch_its_end(run, placement), ()
        except (HostError, InventoryError) as error:
            last = run.status()
            if last.state not in FINAL_STATES:
                raise
            _refuse_unless_resumable(run, last)
            self._say(f"{error}; it goes on from what is here")
            is_known = any(host.name == placement.host for host in self._inventory.hosts)
            left = Left(placement.host, placement.folder, last.attempt)
            return last, (left,) if is_known else ()

    def _fetch_its_end(self, run: RunFolder, placement: Placement) -> Status:
        with self._session(run) as session:
            last = self._ended(run, session)
            self._say("fetching what only its old host has")
            pull(session.remote, run, Selection.RESUME)
            let_go(session, run, placement.folder, last)
            return last

    def _ended(self, run: RunFolder, session: HostSession) -> Status:
        """Return how a run ended on its host; one that was given up there is ended now.

        Raises:
            RunFolderError: If it lives there, or cannot be resumed.
            HostError: If its host does not say.
        """
        there = standing(session, run, "look-after", placement_of(run).folder)
        known = run.status()  # read last: what somebody lets go on meanwhile is written here first
        if there is None:  # nobody can know it better than we do
            self._say(f"{session.host.name} does not have it; it goes on from what is here")
            there = known
        elif there.state not in FINAL_STATES and known.state in FINAL_STATES:
            self._say(f"it still lives on {session.host.name}, and is told to stop")
            answered(session, run, "stop", "--no-wait")
            there = lifecycle.await_end(run, lambda: answered(session, run, "look-after"))
        last = later(known, there)
        _refuse_unless_resumable(run, last)
        return last

    # -------------------------------------------------------------------------------- hosts

    def _session(self, run: RunFolder, *, is_told: bool = False) -> HostSession:
        """Return a session with the host of a run that is elsewhere, telling that it is made."""
        host = self._inventory.find(placement_of(run).host)
        if not is_told:
            self._say(f"connecting to {host.name}")
        try:
            return HostSession.connect(self._project, host, ask=self._ask)
        except HostError as error:
            if run.status().state in FINAL_STATES:
                raise
            raise HostError(
                f"{error}; try again when it answers, or give the run up there: "
                f"`rlmaster stop --abandon {run.short_id}`"
            ) from error


def _refuse_unless_resumable(run: RunFolder, status: Status) -> None:
    lifecycle.refuse_completed(run, status.state)
    if status.state in WAITING_STATES:
        raise RunFolderError(f"run {run.short_id} waits in the queue already; stop it first")
    if status.state not in RESUMABLE_STATES:
        raise RunFolderError(f"run {run.short_id} is {status.state}; stop it first")


def _placement_here(run: RunFolder, host: Host, attempt: int) -> Placement:
    """Return the placement of a run that comes to this computer."""
    before = run.placement()
    return Placement(
        host=host.name,
        kind=host.kind,
        computer=platform.node(),
        machine=machine(),
        folder=str(run.path.absolute()),
        workspace="",
        python=host.python or sys.executable,
        threads=before.threads if before else int(run.host_choice().get("threads") or 1),
        from_attempt=attempt,
        left=before.left if before else (),
    )
