"""What `rlmaster hosts --json` says of each computer, as far as it makes sense; safe to show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tui.children.answers import number_in, object_in, objects_in, text_in, texts_in, whole_in
from tui.children.commands import JsonObject
from tui.words.wording import parse_time


@dataclass(frozen=True)
class GpuProcess:
    """Something that computes on a GPU."""

    pid: int
    user: str
    """Account it runs under; empty where that cannot be seen."""
    own: bool
    """Whether that account is ours."""
    memory_bytes: float | None


@dataclass(frozen=True)
class GpuView:
    """One GPU; None is what is not known."""

    uuid: str
    name: str
    utilisation: float | None
    """Share of the last moments in which it computed, 0 to 1."""
    memory_used_bytes: float | None
    memory_total_bytes: float | None
    processes: tuple[GpuProcess, ...]

    @property
    def load(self) -> float | None:
        """How much of it is taken, 0 to 1: of its time or of its memory, whichever is more."""
        known = [share for share in (self.utilisation, self.memory_share) if share is not None]
        return max(known, default=None)

    @property
    def memory_share(self) -> float | None:
        """Share of its memory that is taken, 0 to 1."""
        return share_of(self.memory_used_bytes, self.memory_total_bytes)

    @property
    def is_used_by_others(self) -> bool:
        """Whether another account computes on it."""
        return any(not process.own for process in self.processes)


@dataclass(frozen=True)
class Measured:
    """How busy a computer is; None is what could not be measured, and `reasons` says why."""

    computer: str
    """What it calls itself."""
    cores: int | None
    load: float | None
    """Processes that wanted to compute, averaged over the last minute."""
    utilisation: float | None
    """Share of the cores' time that was used, 0 to 1."""
    memory_total_bytes: float | None
    memory_available_bytes: float | None
    disk_free_bytes: float | None
    gpus: tuple[GpuView, ...] | None
    runs: tuple[str, ...]
    """Ids of our runs that live there."""
    taken_slots: tuple[str, ...]
    reasons: Mapping[str, str]

    @property
    def memory_share(self) -> float | None:
        """Share of the memory that is taken, 0 to 1."""
        if self.memory_total_bytes is None or self.memory_available_bytes is None:
            return None
        used = self.memory_total_bytes - self.memory_available_bytes
        return share_of(used, self.memory_total_bytes)


@dataclass(frozen=True)
class HostView:
    """A computer that runs may use."""

    name: str
    kind: str
    address: str
    notes: str
    tags: tuple[str, ...]
    place: int
    """Where it stands in hosts.toml, from 0."""
    fits: bool
    """Whether a run could go there."""
    reason: str
    """What speaks for or against it, in one sentence."""
    is_pending: bool
    """Whether it has not answered yet."""
    unreachable_since: datetime | None
    unreachable_reason: str
    waiting: int
    """Our runs that wait there."""
    drained: bool
    """Whether it starts nothing, by somebody's wish."""
    slots: int | None
    """Runs that it can make at a time."""
    measured: Measured | None
    """None where it does not answer."""

    @property
    def is_silent(self) -> bool:
        """Whether it was asked and did not answer."""
        return self.measured is None and not self.is_pending

    @property
    def running(self) -> int:
        """How many of our runs are made there."""
        return len(self.measured.runs) if self.measured else 0


@dataclass(frozen=True)
class HostsView:
    """All computers, and what is wrong with the file that names them."""

    hosts: tuple[HostView, ...] = ()
    """As hosts.toml has them."""
    problem: str = ""
    is_known: bool = False
    """Whether anything has been said yet."""


class KnowsHosts(Protocol):
    """The app, as far as widgets that show hosts need it."""

    hosts: HostsView
    clock: Callable[[], datetime]


def parse_hosts(answer: JsonObject) -> HostsView:
    """Read what the command says; an entry that makes no sense is left out."""
    hosts = [_host(row) for row in objects_in(answer.get("hosts")) if row.get("name")]
    hosts.sort(key=lambda host: host.place)
    return HostsView(tuple(hosts), text_in(answer.get("problem")), is_known=True)


def _host(row: JsonObject) -> HostView:
    unreachable, probe = object_in(row.get("unreachable")), object_in(row.get("probe"))
    return HostView(
        name=text_in(row.get("name")),
        kind=text_in(row.get("kind")),
        address=text_in(row.get("address")),
        notes=text_in(row.get("notes")),
        tags=texts_in(row.get("tags")),
        place=whole_in(row.get("place")) or 0,
        fits=row.get("fits") is True,
        reason=text_in(row.get("reason")),
        is_pending=row.get("pending") is True,
        unreachable_since=parse_time(text_in(unreachable.get("since"))),
        unreachable_reason=text_in(unreachable.get("reason")),
        waiting=whole_in(row.get("waiting")) or 0,
        drained=row.get("drained") is True,
        slots=whole_in(row.get("slots")),
        measured=_measured(probe) if probe else None,
    )


def _measured(probe: JsonObject) -> Measured:
    gpus = probe.get("gpus")
    return Measured(
        computer=text_in(probe.get("hostname")),
        cores=whole_in(probe.get("cores")),
        load=number_in(probe.get("load")),
        utilisation=share_of(number_in(probe.get("utilisation")), 1),
        memory_total_bytes=number_in(probe.get("memory_total_bytes")),
        memory_available_bytes=number_in(probe.get("memory_available_bytes")),
        disk_free_bytes=number_in(probe.get("disk_free_bytes")),
        gpus=None if gpus is None else tuple(map(_gpu, objects_in(gpus))),
        runs=texts_in(probe.get("runs")),
        taken_slots=texts_in(probe.get("slots")),
        reasons={
            text_in(name): text_in(reason)
            for name, reason in object_in(probe.get("reasons")).items()
        },
    )


def _gpu(gpu: JsonObject) -> GpuView:
    return GpuView(
        uuid=text_in(gpu.get("uuid")),
        name=text_in(gpu.get("name")),
        utilisation=share_of(number_in(gpu.get("utilisation")), 1),
        memory_used_bytes=number_in(gpu.get("memory_used_bytes")),
        memory_total_bytes=number_in(gpu.get("memory_total_bytes")),
        processes=tuple(map(_process, objects_in(gpu.get("processes")))),
    )


def _process(process: JsonObject) -> GpuProcess:
    return GpuProcess(
        pid=whole_in(process.get("pid")) or 0,
        user=text_in(process.get("user")),
        own=process.get("own") is True,
        memory_bytes=number_in(process.get("memory_bytes")),
    )


def share_of(part: float | None, whole: float | None) -> float | None:
    """Return a share from 0 to 1; None where it is not known."""
    if part is None or not whole or whole < 0:
        return None
    return min(1.0, max(0.0, part / whole))
