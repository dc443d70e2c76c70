"""The watcher: brings here what runs on other computers write, from all hosts at once.

One process of a project does, the holder of the watch lock. It holds nothing that matters: killed
at any moment, the next one goes on from the markers of what is owed and the files that are here.
"""

import os
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from rlmaster.durable_files import signature
from rlmaster.errors import InventoryError
from rlmaster.fleet.duties import Remembered, hosts_of, state_signature
from rlmaster.fleet.happenings import Happening, HostSeen, Tell, Trouble
from rlmaster.fleet.host_watch import HostWatch
from rlmaster.fleet.lane import Lane
from rlmaster.fleet.owed import owed, settle, watch_lock
from rlmaster.fleet.tidings import Tidings
from rlmaster.fleet.visit import Attempt
from rlmaster.follower import finish
from rlmaster.hosts.inventory import Host, read_inventory, user_hosts_path
from rlmaster.hosts.reachability import note_unreachable
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_lock import HostLock, RunLock
from rlmaster.run_status import FINAL_STATES, Status
from rlmaster.ssh.connection import AskPassphrase

LOOK_S = 1.0
"""Between two looks at what is owed, and at hosts.toml."""
LEAVE_S = 3.0
"""How long hosts are given to be left in good order."""
PATIENCE_S = 600.0
"""How long a host that hosts.toml no longer names may be named again before that is too late."""
SLEPT_S = 5.0
"""A pause of the computer that is longer than this is taken for a sleep."""
TAKE_OVER_S = 5.0
"""How long a watcher that shows nothing has to make room for one that somebody looks at."""
LOCK_PATIENCE_S = 1.0
"""Who only asks whether somebody watches has the lock for a moment."""
POLL_S = 0.1


class Watcher:
    """Watches the hosts of all runs that are owed, each in a thread of its own."""

    def __init__(
        self, project: Project, *, tell: Tell | None = None, ask: AskPassphrase | None = None
    ) -> None:
        """Prepare; `watch` begins.

        Args:
            project: Whose runs; the watch lock is the caller's.
            tell: Told what happens, from any thread.
            ask: Asks for the passphrase of an encrypted key; None where nobody is there.
        """
        self._project, self._ask = project, ask
        self._tell: Tell = tell or _unheard
        self._tidings = Tidings(project.runs)
        self._inventory = _Hosts(project, self._tell)
        self._places = Remembered(hosts_of)
        self._ended = Remembered(lambda run: run.status().state in FINAL_STATES)
        self._watches: dict[str, HostWatch] = {}
        self._missing: set[str] = set()
        """Hosts of runs that hosts.toml does not name."""
        self._reports = Lane(lambda reason: self._tell(Trouble("", reason)))
        self._finishing: set[Attempt] = set()
        self._told: set[Attempt] = set()
        """Attempts of which people have been told how they ended."""
        self._reported: set[Attempt] = set()
        self._stopped = threading.Event()

    def watch(
        self, *, until_settled: bool = False, leave_when: Callable[[], bool] | None = None
    ) -> None:
        """Watch until `stop`, or for as long as asked.

        Args:
            until_settled: Whether it ends when nothing more can come.
            leave_when: Asked every second whether it ends.
        """
        useful_s = time.monotonic()
        try:
            while not self._stopped.is_set():
                if self._look():
                    useful_s = time.monotonic()
                elif until_settled and self._is_over(useful_s):
                    return
                if leave_when and leave_when():
                    return
                self._sleep()
        finally:
            self._leave(list(self._watches))

    def _is_over(self, useful_s: float) -> bool:
        """Tell whether nothing is owed, or nothing could come of what is for long enough."""
        return not owed(self._project.runs) or time.monotonic() - useful_s > PATIENCE_S

    def stop(self) -> None:
        """End the watch, from any thread."""
        self._stopped.set()

    def _look(self) -> bool:
        """See to it that every host with a run of ours is watched; tell whether more may come."""
        runs = owed(self._project.runs)
        hosts = self._inventory.read()
        wanted: dict[str, list[RunFolder]] = {}
        for run in runs:
            for host in self._places.of(run):
                wanted.setdefault(host, []).append(run)
        if hosts is not None:
            self._watch_hosts(wanted, hosts)
        for run in runs:
            if self._ended.of(run) or not self._places.of(run):
                self._see_to_end(run)
        return any(not self.is_out_of_reach(run) for run in runs)

    def is_out_of_reach(self, run: RunFolder) -> bool:
        """Tell whether nothing more comes of a run, since hosts.toml does not name its hosts."""
        if not (places := self._places.of(run)) or not set(places) <= self._missing:
            return False
        attempt = (run.id, run.status().attempt)
        return not self._ended.of(run) or attempt in self._told & self._reported

    def _watch_hosts(
        self, wanted: Mapping[str, list[RunFolder]], hosts: Mapping[str, Host]
    ) -> None:
        self._leave(
            [
                name
                for name, watch in self._watches.items()
                if name not in wanted or hosts.get(name) != watch.host
            ]
        )
        for name, runs in wanted.items():
            if name in self._watches:
                self._watches[name].care_for(runs)
            elif name in hosts:
                self._missing.discard(name)
                watch = HostWatch(self._project, hosts[name], self._tidings, self._tell, self._ask)
                self._watches[name] = watch
                watch.start(runs)
            elif name not in self._missing:
                self._missing.add(name)
                self._note_missing(name)

    def _note_missing(self, name: str) -> None:
        reason = f"hosts.toml does not name {name} any more, so its runs cannot be followed"
        note_unreachable(self._project.runs, name, reason)
        self._tell(HostSeen(name, reachable=False, reason=reason))

    def _leave(self, names: list[str]) -> None:
        watches = [self._watches.pop(name) for name in names]
        for watch in watches:
            watch.stop()
        deadline = time.monotonic() + LEAVE_S
        for watch in watches:
            watch.join(max(0.0, deadline - time.monotonic()))

    def _sleep(self) -> None:
        """Wait for the next look; after a sleep of the computer, hosts are tried at once."""
        clock_s, work_s = time.time(), time.monotonic()
        self._stopped.wait(LOOK_S)
        if time.time() - clock_s - (time.monotonic() - work_s) > SLEPT_S:
            for watch in self._watches.values():
                watch.wake()

    # ------------------------------------------------------------------------------- the end

    def _see_to_end(self, run: RunFolder) -> None:
        """Have the end of a run told and written up, and settle what is all here."""
        seen, status = state_signature(run), run.status()
        attempt = (run.id, status.attempt)
        if not run.is_here() and attempt not in self._finishing:
            self._finishing.add(attempt)
            self._reports.do(attempt, lambda: self._finish(run, status, attempt))
        is_finished = run.is_here() or attempt in self._told & self._reported
        if is_finished and all(self._has_given_all(n, run, attempt) for n in hosts_of(run)):
            self._settle(run, seen)

    def _settle(self, run: RunFolder, seen: object) -> None:
        """Settle a run, unless somebody wants something else of it since it was looked at."""
        with RunLock(run.id) as lock:
            if lock.take() and state_signature(run) == seen:
                settle(run)

    def _has_given_all(self, name: str, run: RunFolder, attempt: Attempt) -> bool:
        placement = run.placement()
        if placement and any(left.host == name for left in placement.left):
            return False
        watch = self._watches.get(name)
        return attempt in watch.gathered if watch else name in self._missing

    def _finish(self, run: RunFolder, status: Status, attempt: Attempt) -> None:
        """Tell how a run ended, and make its report; both are done once, whoever does them."""
        threading.Thread(target=self._tell_end, args=(run, status, attempt), daemon=True).start()
        try:
            with RunIndex(self._project.runs) as index:
                index.refresh(run, status)
            finish(run, self._project.runs, anew=False)
        finally:  # what could not be written up, `rlmaster report` writes up
            self._reported.add(attempt)

    def _tell_end(self, run: RunFolder, status: Status, attempt: Attempt) -> None:
        try:
            for delivery in self._tidings.tell_ending(run, status):
                if not delivery.delivered:
                    self._tell(Trouble("", str(delivery)))
        finally:
            self._told.add(attempt)


class _Hosts:
    """The hosts of kind `ssh`, read anew whenever a file that names them has changed."""

    def __init__(self, project: Project, tell: Tell) -> None:
        self._project, self._tell = project, tell
        self._seen: object = None
        self._hosts: dict[str, Host] | None = None

    def read(self) -> Mapping[str, Host] | None:
        """Return them by name; while a file is not valid those that were known, None for none."""
        seen = [signature(path) for path in (self._project.hosts_file, user_hosts_path())]
        if seen != self._seen:
            self._seen = seen
            try:
                hosts = read_inventory(self._project.hosts_file).hosts
            except InventoryError as error:
                self._tell(Trouble("", str(error)))
            else:
                self._hosts = {host.name: host for host in hosts if host.kind == "ssh"}
        return self._hosts


def _unheard(_happening: Happening) -> None:
    """Nobody listens."""


# ------------------------------------------------------------------------------ who watches

QUIET, SHOWN = b"quiet\n", b"shown\n"
"""What the watch lock's file says of its holder."""


@contextmanager
def sole_watch(runs: Path, *, quiet: bool) -> Generator[bool]:
    """Be the one process that watches a project's hosts; tell whether that came true.

    One that shows what happens takes over from one that does not, which can ask nobody anything.

    Args:
        runs: Where the project keeps its runs.
        quiet: Whether this one shows nothing.
    """
    with watch_lock(runs) as lock:
        is_ours = _take(lock, runs, quiet=quiet)
        if is_ours:
            _wanted(runs).unlink(missing_ok=True)
            os.pwrite(lock.handle, QUIET if quiet else SHOWN, 0)
        yield is_ours


def is_wanted(runs: Path) -> bool:
    """Tell whether somebody who looks at it wants to watch in place of a quiet process."""
    return _wanted(runs).exists()


def _take(lock: HostLock, runs: Path, *, quiet: bool) -> bool:
    if lock.take_within(LOCK_PATIENCE_S):
        return True
    if quiet or os.pread(lock.handle, len(QUIET), 0) != QUIET:
        return False
    deadline = time.monotonic() + TAKE_OVER_S
    try:
        while not lock.take_within(POLL_S):
            if time.monotonic() > deadline:
                return False
            with suppress(OSError):
                _wanted(runs).touch()
    finally:
        _wanted(runs).unlink(missing_ok=True)
    return True


def _wanted(runs: Path) -> Path:
    return runs / ".state" / "watch.wanted"
