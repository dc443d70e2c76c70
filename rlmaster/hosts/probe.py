"""How busy a computer is, as its answer to the probe script says, not all of which is believed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from rlmaster.errors import HostError

MOST_BYTES = 1_000_000
"""Longest answer that is read; a machine with 16 busy GPUs gives 20 kB."""
MOST_CHARACTERS = 200
"""Longest text that is taken from an answer."""
FREE_GPU_MEMORY_SHARE = 0.05
"""A GPU of whose memory more is taken is in use, whoever it is by."""


@dataclass(frozen=True)
class GpuProcess:
    """A process that computes on a GPU."""

    pid: int
    user: str
    """Account it runs under; empty where that cannot be seen."""
    own: bool
    """Whether that account is ours."""
    memory_bytes: int | None


@dataclass(frozen=True)
class Gpu:
    """One GPU; None is what could not be measured."""

    uuid: str
    name: str
    utilisation: float | None
    """Share of the last moments in which it computed, 0 to 1."""
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    processes: tuple[GpuProcess, ...] | None

    @property
    def memory_free_bytes(self) -> int:
        """Memory that a run could take, 0 where it is not known."""
        if self.memory_used_bytes is None or self.memory_total_bytes is None:
            return 0
        return max(0, self.memory_total_bytes - self.memory_used_bytes)

    @property
    def used_by_others(self) -> bool:
        """Whether a process of another account computes on it."""
        return any(not process.own for process in self.processes or ())

    @property
    def is_free(self) -> bool:
        """Whether nobody else computes on it, and next to nothing of its memory is taken."""
        if self.used_by_others:
            return False
        most = FREE_GPU_MEMORY_SHARE * (self.memory_total_bytes or 0)
        return (self.memory_used_bytes or 0) <= most


@dataclass(frozen=True)
class Probe:
    """How busy a computer is; None is what could not be measured, and `reasons` says why."""

    hostname: str
    """What the computer calls itself."""
    clock_s: float
    """Its clock, in seconds since 1970."""
    boot_id: str | None
    """What tells this start of it from every other."""
    cores: int | None
    """Processor cores that a run may use."""
    load: float | None
    """Processes that wanted to compute, averaged over the last minute."""
    utilisation: float | None
    """Share of the cores' time that was used while it was measured, 0 to 1."""
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    disk_free_bytes: int | None
    """Space left where runs are kept."""
    gpus: tuple[Gpu, ...] | None
    gpu_source: str
    """`nvml`, `nvidia-smi`, or `none`."""
    runs: tuple[str, ...] | None
    """Runs of this account that live there, by the locks that they hold."""
    reasons: Mapping[str, str]
    """Why a part (`boot_id`, `cpu`, `memory`, `disk`, `gpu`, `runs`) is not known, or not whole."""
    slots: tuple[str, ...] | None = None
    """Places to compute that runs of this account have taken there."""
    waiting: int | None = None
    """Runs of this account that wait there."""
    drained: bool = False
    """Whether its queue starts nothing, by somebody's wish."""
    machine: str = ""
    """What its queue goes by, as `rlmaster.placement.machine` has it."""
    home: str = ""
    """The account's home folder there."""
    workspace: str = ""
    """Where runs are kept there, an absolute path."""
    python: str = ""
    """Absolute path of the interpreter that was asked for; empty where it is not there."""

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)


def parse_probe(output: bytes, host: str, complaint: bytes = b"") -> Probe:
    """Read what the probe script printed; nothing of it is trusted.

    Args:
        output: What came from the script's stdout.
        host: Who said so, for messages.
        complaint: What came from its stderr; its last line explains an empty answer.

    Raises:
        HostError: If it is not what the script prints.
    """
    if not output.strip():
        lines = complaint.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise HostError(f"{host} did not answer the probe: {_clean(lines[-1])}")
    if len(output) > MOST_BYTES:
        raise HostError(f"{host} answered the probe with more than {MOST_BYTES:,} bytes")
    try:
        data = json.loads(output)
    except (ValueError, RecursionError) as error:
        start = _clean(output[:60].decode(errors="replace"))
        raise HostError(
            f"{host} answered the probe with something else: {start!r}; "
            "shell start-up files there must not print anything"
        ) from error
    try:
        return _probe(_Answer(data, "the answer"))
    except _NotAsExpected as problem:
        raise HostError(f"{host} answered the probe, but {_clean(str(problem))}") from problem


def _probe(answer: "_Answer") -> Probe:
    cpu, memory, gpu = answer.part("cpu"), answer.part("memory"), answer.part("gpu")
    reasons = answer.part("reasons").texts()
    if problem := gpu.text("problem"):
        reasons["gpu"] = problem
    gpus, runs = gpu.parts("gpus"), answer.texts_of("runs")
    return Probe(
        hostname=answer.text("hostname"),
        clock_s=answer.number("clock_s") or 0.0,
        boot_id=answer.text("boot_id") or None,
        cores=cpu.whole("cores"),
        load=cpu.number("load"),
        utilisation=cpu.number("utilisation"),
        memory_total_bytes=memory.whole("total_bytes"),
        memory_available_bytes=memory.whole("available_bytes"),
        disk_free_bytes=answer.part("disk").whole("free_bytes"),
        gpus=None if gpus is None else tuple(_gpu(gpu) for gpu in gpus),
        gpu_source=gpu.text("source") or "none",
        runs=runs,
        reasons=reasons,
        slots=answer.texts_of("slots"),
        waiting=answer.part("queue").whole("waiting"),
        drained=answer.part("queue").truth("drained"),
        machine=answer.text("machine"),
        home=answer.text("home"),
        workspace=answer.text("workspace"),
        python=answer.text("python"),
    )


def _gpu(gpu: "_Answer") -> Gpu:
    processes = gpu.parts("processes")
    return Gpu(
        uuid=gpu.text("uuid"),
        name=gpu.text("name"),
        utilisation=gpu.number("utilisation"),
        memory_used_bytes=gpu.whole("memory_used_bytes"),
        memory_total_bytes=gpu.whole("memory_total_bytes"),
        processes=None if processes is None else tuple(_gpu_process(p) for p in processes),
    )


def _gpu_process(process: "_Answer") -> GpuProcess:
    return GpuProcess(
        pid=process.whole("pid") or 0,
        user=process.text("user"),
        own=process.truth("own"),
        memory_bytes=process.whole("memory_bytes"),
    )


class _NotAsExpected(Exception):  # noqa: N818  always shown as a HostError
    """Which part of the answer is not what the script gives."""


class _Answer:
    """An object in the answer; what is taken from it is of the type asked for, or null."""

    def __init__(self, data: object, name: str) -> None:
        if not isinstance(data, dict):
            raise _NotAsExpected(f"{name} is not an object but {data!r}")
        self._data = cast("dict[str, object]", data)
        self._name = name

    def number(self, name: str) -> float | None:
        value = self._data.get(name)
        if value is None:
            return None
        # The comparison also turns away NaN, infinity, and whole numbers that no file could hold.
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**63:
            return value
        raise self._unexpected(name, "a number")

    def whole(self, name: str) -> int | None:
        value = self.number(name)
        return None if value is None else int(value)

    def truth(self, name: str) -> bool:
        return self._data.get(name) is True

    def text(self, name: str) -> str:
        value = self._data.get(name)
        if isinstance(value, str):
            return _clean(value)
        if value is None:
            return ""
        raise self._unexpected(name, "text")

    def texts(self) -> dict[str, str]:
        return {_clean(name): self.text(name) for name in self._data}

    def texts_of(self, name: str) -> tuple[str, ...] | None:
        values = self._list(name)
        return None if values is None else tuple(_clean(str(value)) for value in values)

    def part(self, name: str) -> "_Answer":
        """Return an object inside, an empty one where it is null."""
        value = self._data.get(name)
        return _Answer({} if value is None else value, name)

    def parts(self, name: str) -> "list[_Answer] | None":
        values = self._list(name)
        return None if values is None else [_Answer(value, name) for value in values]

    def _list(self, name: str) -> list[object] | None:
        value = self._data.get(name)
        if value is None or isinstance(value, list):
            return cast("list[object] | None", value)
        raise self._unexpected(name, "a list")

    def _unexpected(self, name: str, wanted: str) -> _NotAsExpected:
        return _NotAsExpected(
            f"{name} of {self._name} is not {wanted} but {self._data.get(name)!r}"
        )


def _clean(text: str) -> str:
    """Return text that cannot move a cursor or fill a screen."""
    text = text[:MOST_CHARACTERS]
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
