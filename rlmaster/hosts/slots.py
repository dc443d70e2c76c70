"""Slots: the places on a computer where one run each computes.

Where there are GPUs, each has one slot or more, named by the GPU's UUID and a number; elsewhere the
processor's cores are shared out among a few slots, named `cpu:0` and so on.
"""

from collections.abc import Collection
from dataclasses import dataclass

from rlmaster.hosts.probe import FREE_GPU_MEMORY_SHARE, Gpu, Probe

USUAL_CPU_SLOTS = 2
"""On a computer without GPUs, unless it has one core or hosts.toml says otherwise."""
CPU = "cpu"


@dataclass(frozen=True)
class SlotRules:
    """How many runs a computer is given at a time."""

    cpu_slots: int | None = None
    """Runs at a time where there is no GPU; None for two, or one on a single core."""
    slots_per_gpu: int = 1
    """Runs at a time on each GPU."""


def all_slots(probe: Probe, rules: SlotRules) -> list[str]:
    """Return the names of a computer's slots."""
    if probe.gpus:
        return [
            f"{gpu.uuid}:{number}" for gpu in probe.gpus for number in range(rules.slots_per_gpu)
        ]
    count = rules.cpu_slots or min(USUAL_CPU_SLOTS, probe.cores or 1)
    return [f"{CPU}:{number}" for number in range(count)]


def threads_per_slot(probe: Probe, rules: SlotRules) -> int:
    """Return how many cores each run has to itself, at least one."""
    return max(1, (probe.cores or 1) // len(all_slots(probe, rules)))


def device_of(slot: str) -> str:
    """Return what CUDA_VISIBLE_DEVICES must be in a slot: a GPU's UUID, or nothing."""
    device = slot.rpartition(":")[0]
    return "" if device == CPU else device


def is_usable(slot: str, probe: Probe, taken: Collection[str]) -> bool:
    """Tell whether somebody else computes on a slot's GPU.

    Args:
        slot: A slot that no run of ours has.
        probe: What the computer said just now.
        taken: The slots that runs of ours have: on their GPUs, our own memory is no stranger's.
    """
    device = device_of(slot)
    if not device:
        return True
    gpu = next((gpu for gpu in probe.gpus or () if gpu.uuid == device), None)
    if gpu is None:  # it has fallen off the bus
        return False
    if all(device_of(other) != device for other in taken):
        return gpu.is_free
    return not gpu.used_by_others and _memory_of_others(gpu) <= FREE_GPU_MEMORY_SHARE


def _memory_of_others(gpu: Gpu) -> float:
    """Return the share of a GPU's memory that is not taken by this account's processes."""
    if not gpu.memory_total_bytes:
        return 0.0
    ours = [process.memory_bytes for process in gpu.processes or () if process.own]
    if None in ours:
        return 0.0
    return ((gpu.memory_used_bytes or 0) - sum(filter(None, ours))) / gpu.memory_total_bytes
