"""The queue of a computer: a small file for each run that waits there, in the order of their names.

It belongs to an account, not to a project: two checkouts share the slots of one computer, and so
their queue. It outlives everything, a restart included; its folder has the computer's name, so that
homes shared by several computers do not mix.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

from rlmaster.durable_files import read_json, utc_now, write_json
from rlmaster.errors import HostError
from rlmaster.hosts.slots import SlotRules
from rlmaster.placement import machine

SUFFIX = ".ticket"


@dataclass(frozen=True)
class Ticket:
    """All that is needed to start a run's next attempt, whoever does it and whenever."""

    run_id: str
    run_folder: str
    attempt: int
    """The attempt that waits; once the run has left it, the ticket means nothing."""
    python: str
    """Interpreter, as a path or a name on PATH."""
    code_folder: str
    """The snapshot that the worker runs from."""
    threads: int
    """Cores that the run has to itself."""
    environment: Mapping[str, str]
    """That of the process that launched it; it may hold secrets, so the folder is private."""
    queued: str
    """Since when it waits, ISO 8601 in UTC."""


@dataclass(frozen=True)
class Waiting:
    """A ticket as its file's name tells it."""

    path: Path
    order: int
    """The least is the next to start."""
    run_id: str
    attempt: int

    def ticket(self) -> Ticket | None:
        """Read the ticket; None where it is gone, damaged, or of a version with other needs."""
        data = read_json(self.path) or {}
        try:
            return Ticket(**{f.name: data[f.name] for f in fields(Ticket) if f.name in data})
        except TypeError:
            return None

    @property
    def is_damaged(self) -> bool:
        """Whether it is there and holds nothing that any version could read."""
        return self.path.exists() and read_json(self.path) is None


class Queue:
    """The tickets of one computer, and how it is set up."""

    def __init__(self, folder: Path) -> None:
        """Point at a folder; `here` finds that of this computer."""
        self.folder = folder
        self._drained = folder / "drained"
        self._rules = folder / "slots.json"
        self._slots = folder / "known-slots.json"

    @classmethod
    def here(cls) -> "Queue":
        """Return this computer's queue for this account.

        Raises:
            HostError: If there is no place for it.
        """
        state = Path(os.environ.get("XDG_STATE_HOME", ""))
        if not state.is_absolute():  # as the specification of that variable wants it
            try:
                state = Path.home() / ".local" / "state"
            except RuntimeError as error:
                raise HostError(
                    "this account has no home folder to keep a queue in; set XDG_STATE_HOME"
                ) from error
        return cls(state / "rlmaster" / "queue" / machine())

    @property
    def runner_name(self) -> str:
        """What its queue runner is called, on a computer where an account may have several."""
        return f"queue-runner-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:8]}"

    # -------------------------------------------------------------------------------- tickets

    def put(self, ticket: Ticket) -> None:
        """Let a run wait behind all others; one whose attempt waits already keeps its place.

        Raises:
            HostError: If the ticket cannot be written.
        """
        try:
            if self.find(ticket.run_id, ticket.attempt):
                return
            self._make_folder()
            path = self._path(self._next_order(), ticket.run_id, ticket.attempt)
            write_json(path, asdict(ticket), durable=True)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def waiting(self) -> list[Waiting]:
        """Return what waits, the next one first; only names are read."""
        return sorted(self._waiting(), key=lambda waiting: (waiting.order, waiting.path.name))

    def find(self, run_id: str, attempt: int | None = None) -> Waiting | None:
        """Return a run's ticket, or None where it has none."""
        return next(
            (w for w in self._waiting() if w.run_id == run_id and attempt in (None, w.attempt)),
            None,
        )

    def position(self, run_id: str) -> int | None:
        """Return how many runs come before one that waits, or None where it does not wait."""
        order = [waiting.run_id for waiting in self.waiting()]
        return order.index(run_id) if run_id in order else None

    def move_to_front(self, run_id: str) -> bool:
        """Let a run be the next to start, and tell whether it was still waiting.

        Raises:
            HostError: If the ticket cannot be renamed.
        """
        queue = self.waiting()
        mine = next((waiting for waiting in queue if waiting.run_id == run_id), None)
        if mine is None:
            return False
        order = max(0, queue[0].order - 1)
        try:
            mine.path.rename(self._path(order, mine.run_id, mine.attempt))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        return True

    def remove(self, run_id: str) -> None:
        """Take a run's tickets away, wherever in the queue they are, if it has any.

        Raises:
            HostError: If they cannot be removed.
        """
        try:
            for waiting in self._waiting():
                if waiting.run_id == run_id:
                    waiting.path.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, order: int, run_id: str, attempt: int) -> Path:
        return self.folder / f"{order:020d}.{run_id}.{attempt}{SUFFIX}"

    def _waiting(self) -> Iterator[Waiting]:
        try:
            names = [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return
        for name in names:
            order, _, rest = name.removesuffix(SUFFIX).partition(".")
            run_id, _, attempt = rest.rpartition(".")
            if name.endswith(SUFFIX) and order.isdecimal() and run_id and attempt.isdecimal():
                yield Waiting(self.folder / name, int(order), run_id, int(attempt))

    def _next_order(self) -> int:
        """Return a number behind all that wait, also when the clock was set back meanwhile."""
        last = max((waiting.order for waiting in self._waiting()), default=0)
        return max(time.time_ns(), last + 1)

    # ------------------------------------------------------------------------------ the set-up

    @property
    def is_drained(self) -> bool:
        """Whether nothing is started, by somebody's wish; what runs goes on."""
        return self._drained.exists()

    def drain(self) -> None:
        """Start nothing more until `open`.

        Raises:
            HostError: If that cannot be written down.
        """
        try:
            self._make_folder()
            write_json(self._drained, {"since": utc_now()}, durable=True)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def open(self) -> None:
        """Start runs again.

        Raises:
            HostError: If that cannot be written down.
        """
        try:
            self._drained.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def write_rules(self, rules: SlotRules) -> None:
        """Keep how many slots there are, as the hosts.toml of the newest launch says.

        Raises:
            HostError: If it cannot be written.
        """
        if rules == self.rules():
            return
        try:
            self._make_folder()
            write_json(self._rules, asdict(rules), durable=True)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def write_slots(self, slots: Sequence[str], in_foreign_use: Sequence[str] = ()) -> None:
        """Say which slots there are, for people who look; the queue runner knows.

        Args:
            slots: All of them.
            in_foreign_use: Those whose GPU somebody else computes on.
        """
        if (list(slots), list(in_foreign_use)) != (self.slots(), self.slots_in_foreign_use()):
            data = {"slots": list(slots), "in_foreign_use": list(in_foreign_use)}
            with suppress(OSError):  # a full disk: then they know less
                write_json(self._slots, data)

    def slots(self) -> list[str]:
        """Return the slots that there are, as the queue runner saw them last."""
        return self._known_slots("slots")

    def slots_in_foreign_use(self) -> list[str]:
        """Return the slots whose GPU somebody else computed on, when that was looked at last."""
        return self._known_slots("in_foreign_use")

    def _known_slots(self, which: str) -> list[str]:
        names = (read_json(self._slots) or {}).get(which)
        return [str(name) for name in cast("list[Any]", names)] if isinstance(names, list) else []

    def rules(self) -> SlotRules:
        """Return how many slots there are; the usual where nobody has said."""
        data = read_json(self._rules) or {}
        try:
            return SlotRules(**data)
        except TypeError:
            return SlotRules()


def _cannot_write(folder: Path, error: OSError) -> HostError:
    return HostError(
        f"the queue in {folder} cannot be changed ({error.strerror or error}); "
        "free some space or check who may write there"
    )
