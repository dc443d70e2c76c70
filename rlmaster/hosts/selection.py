"""Which computer a run should go to: a ranking with a reason for each."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rlmaster.experiment import Requirements
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.probe import Gpu, Probe
from rlmaster.hosts.slots import all_slots
from rlmaster.room import FreeRoom, Room

IDLE_UTILISATION = 0.25
"""Cores that are busier than this are not called idle."""
REOPENED = {"local": "rlmaster queue open", "ssh": "rlmaster hosts drain {name} --open"}
"""What lets a host start runs again."""
GIGABYTE = 1e9


@dataclass(frozen=True)
class Candidate:
    """A host that a run could go to, and what it said when it was asked."""

    host: Host
    probe: Probe | None
    """Its answer; None where there was none."""
    unreachable: str = ""
    """Why there was no answer."""
    waiting: int = 0
    """Runs that are queued for it already."""
    drained: bool = False
    """Whether its queue starts nothing, by somebody's wish."""


@dataclass(frozen=True)
class Ranked:
    """A host's place in the ranking is its place in the list."""

    host: str
    fits: bool
    """Whether a run could go there."""
    reason: str
    """What speaks for or against it, in one sentence."""
    probe: Probe | None
    """What was measured there."""
    is_outgrown: bool = False
    """Whether the run needs more room than is there, so that it is the run that has to change."""

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)


def rank(
    candidates: Sequence[Candidate],
    requirements: Requirements | None = None,
    room: Room | None = None,
) -> list[Ranked]:
    """Put the best host first; of equal ones, the one that comes first in the inventory.

    A host where the run fits comes before all where it does not. Then fewer runs per slot win, then
    more free GPU memory, then less load. Hosts that did not answer come last.

    Args:
        candidates: Every host that may be chosen, in the inventory's order.
        requirements: What the run needs; None for what runs usually need.
        room: What its frames and networks take; None where that is not known.

    Returns:
        One entry for each candidate, best first.
    """
    requirements = requirements or Requirements()
    outgrown = [_room_lacking(candidate, room or Room()) for candidate in candidates]
    lacking = [
        _lacking(candidate, requirements) or (what and f"does not fit: {what}")
        for candidate, what in zip(candidates, outgrown, strict=True)
    ]
    order = sorted(
        range(len(candidates)), key=lambda i: (bool(lacking[i]), *_pressure(candidates[i]))
    )
    return [
        Ranked(
            host=candidates[i].host.name,
            fits=not lacking[i],
            reason=lacking[i] or _description(candidates[i]),
            probe=candidates[i].probe,
            is_outgrown=bool(outgrown[i]),
        )
        for i in order
    ]


def _lacking(candidate: Candidate, requirements: Requirements) -> str:
    """Return why the run cannot go there, or nothing; space that is not known is enough."""
    probe = candidate.probe
    if probe is None:
        return candidate.unreachable or "it did not answer"
    needs = [
        (requirements.memory_gb * GIGABYTE, probe.memory_available_bytes, "memory"),
        (requirements.disk_gb * GIGABYTE, probe.disk_free_bytes, "disk space"),
    ]
    lacking = [
        f"{_gigabytes(found)} of {what} free, {_gigabytes(needed)} needed"
        for needed, found, what in needs
        if found is not None and found < needed
    ]
    if requirements.gpu and not _free_gpus(probe):
        lacking.append(f"a free GPU is needed, but {_gpus_described(probe)}")
    if tags := [tag for tag in requirements.tags if tag not in candidate.host.tags]:
        lacking.append(f"it has no tag {' and no tag '.join(tags)}")
    if candidate.host.kind == "ssh" and not probe.python:
        lacking.append(_without_python(candidate.host))
    return f"does not fit: {', '.join(lacking)}" if lacking else ""


def _room_lacking(candidate: Candidate, room: Room) -> str:
    """Return what room the run lacks there, or nothing.

    All memory counts, since the run may wait until others have given theirs back.
    """
    probe = candidate.probe
    if probe is None:
        return ""
    memory = probe.memory_total_bytes
    sizes = [gpu.memory_total_bytes for gpu in probe.gpus or ()] or [memory]
    known = [size for size in sizes if size is not None]
    device = max(known) if len(known) == len(sizes) else None
    return room.lacking(FreeRoom(device, memory, probe.disk_free_bytes))


def _without_python(host: Host) -> str:
    if host.python:
        return f"there is no Python {host.python} there; correct it in hosts.toml"
    return f"it has no environment yet; `rlmaster hosts setup {host.name}` makes it"


def _pressure(candidate: Candidate) -> tuple[bool, float, int, float]:
    """Return what speaks against a host, the weightiest first."""
    probe = candidate.probe
    if probe is None:
        return True, math.inf, 0, math.inf
    runs = candidate.waiting + len(probe.runs or ())
    free_memory_bytes = max((gpu.memory_free_bytes for gpu in _free_gpus(probe)), default=0)
    return False, runs / _slots(candidate.host, probe), -free_memory_bytes, _busy_share(probe)


def _slots(host: Host, probe: Probe) -> int:
    return len(all_slots(probe, host.slot_rules))


def _busy_share(probe: Probe) -> float:
    """Return how much of the cores is wanted by others, 0 for none; infinity where it is not known.

    The load average does not see what has just started, and what is measured now does not see what
    pauses: the higher one counts.
    """
    per_core = None if probe.load is None else probe.load / (probe.cores or 1)
    known = [share for share in (probe.utilisation, per_core) if share is not None]
    return max(known, default=math.inf)


def _free_gpus(probe: Probe) -> list[Gpu]:
    return [gpu for gpu in probe.gpus or () if gpu.is_free]


def _description(candidate: Candidate) -> str:
    probe = candidate.probe
    assert probe is not None, "a host that did not answer does not fit"
    runs = len(probe.runs or ())
    if runs or candidate.waiting:
        slots = _counted(_slots(candidate.host, probe), "slot")
        state = f"{runs} of {slots} taken, {candidate.waiting} waiting"
    else:
        state = "idle" if _busy_share(probe) <= IDLE_UTILISATION else _busyness(probe)
    drained = f"{_drained(candidate.host)}; " if candidate.drained else ""
    notes = f" ({candidate.host.notes})" if candidate.host.notes else ""
    return f"{drained}{state}: {', '.join(_measurements(probe))}{notes}"


def _drained(host: Host) -> str:
    """Say of a host that it would let a run wait, however idle it is, and how to change that."""
    return f"drained: nothing is started until `{REOPENED[host.kind].format(name=host.name)}`"


def _busyness(probe: Probe) -> str:
    """Say of a host without runs why it is not called idle: by what was measured."""
    if probe.utilisation is not None and probe.utilisation > IDLE_UTILISATION:
        return "no runs, but others compute"
    return "no runs" if probe.load is None else "no runs, but busy within the last minute"


def _measurements(probe: Probe) -> list[str]:
    cores = "cores unknown" if probe.cores is None else _counted(probe.cores, "core")
    if probe.utilisation is not None:
        cores += f" {probe.utilisation:.0%} busy"
    return [
        cores,
        "load unknown" if probe.load is None else f"load {probe.load:.1f}",
        f"{_gigabytes(probe.memory_available_bytes)} of memory free",
        f"{_gigabytes(probe.disk_free_bytes)} of disk space free",
        _gpus_described(probe),
    ]


def _gpus_described(probe: Probe) -> str:
    if probe.gpus is None:
        return f"GPUs unknown ({probe.reasons.get('gpu', 'no reason given')})"
    if not probe.gpus:
        return "no GPU"
    free = _free_gpus(probe)
    if not free:
        return f"{_counted(len(probe.gpus), 'GPU')} in use"
    best = max(free, key=lambda gpu: gpu.memory_free_bytes)
    return (
        f"{len(free)} of {_counted(len(probe.gpus), 'GPU')} free "
        f"({best.name}, {_gigabytes(best.memory_free_bytes)})"
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _gigabytes(size_bytes: float | None) -> str:
    if size_bytes is None:
        return "an unknown amount"
    size = size_bytes / GIGABYTE
    return f"{size:.0f} GB" if size >= 10 else f"{size:.1f} GB"
