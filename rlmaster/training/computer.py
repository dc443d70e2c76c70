"""What must be the same for a resumed run to repeat another bit by bit."""

import platform
from collections.abc import Mapping

import torch


def describe_computer(device: torch.device) -> dict[str, str]:
    """Return what the order and rounding of sums depend on, by name."""
    return {
        "device": device.type,
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


def why_not_bit_by_bit(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return why sums may be rounded otherwise than before, in a clause; empty where they are not.

    Args:
        then: What `describe_computer` said where the run was.
        now: What it says here.
    """
    reasons = [
        f"{name} {then.get(name, 'unknown')} then and {value} now"
        for name, value in now.items()
        if then.get(name) != value
    ]
    if now["device"] == "cuda":
        reasons.append("a GPU sums in no fixed order")
    return ", ".join(reasons)
