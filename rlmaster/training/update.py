"""One optimiser update of an embedder, as fast as the processor allows.

Channels-last weights, bfloat16 arithmetic where the hardware has it, a fused optimiser, and
torch.compile for runs that are long enough to win its cost back. Losses reduce in float32.
"""

import copy
import statistics
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from rlmaster.agents.base import AgentLoss
from rlmaster.embedders.base import BaseEmbedder, EmbedderLoss
from rlmaster.experiment import AgentTraining, EmbedderTraining
from rlmaster.replay.batches import SequenceBatch, TransitionBatch
from rlmaster.training.gradient_step import can_be_whole, plain_step, whole_step

LONG_RUN_UPDATES = 20_000
"""From here on torch.compile, which takes up to a minute, is tried against the plain update."""
TRIAL_ROUNDS = 5
TRIAL_UPDATES = 15
"""In each round, of the plain update and of the compiled one."""
REASON_CHARACTERS = 200
"""Of a compiler's complaint, at most; the whole is in the log."""

LOSS = "loss"
"""Names the total among the losses of an update; the others are its parts."""

P = ParamSpec("P")
R = TypeVar("R")

Losses = dict[str, Tensor]
Update = Callable[[SequenceBatch], Losses]
"""Takes a batch, changes the weights, returns the loss and its parts without waiting for them."""
AgentUpdate = Callable[[TransitionBatch], tuple[Losses, Tensor]]
"""Takes a batch, changes the weights, returns losses and priorities `(B,)`, waiting for neither."""


def best_device() -> torch.device:
    """Return the GPU where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(wanted: str, device: torch.device) -> torch.dtype:
    """Resolve `auto` to bfloat16 where the hardware multiplies it natively, else float32."""
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[wanted]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool({"avx512_bf16", "amx_bf16", "bf16"} & _processor_flags())
    return torch.bfloat16 if native else torch.float32


def _processor_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    found = (line for line in lines if line.startswith(("flags", "Features")))
    return set(next(found, "").partition(":")[2].split())


def to_channels_last(module: nn.Module) -> None:
    """Lay convolutions out with the channels innermost, as the fast kernels want them."""
    for inner in module.modules():
        if isinstance(inner, nn.Conv2d | nn.ConvTranspose2d):
            inner.weight.data = inner.weight.data.contiguous(memory_format=torch.channels_last)


def make_update(
    embedder: BaseEmbedder, optimiser: Optimizer, precision: torch.dtype, *, compiled: bool
) -> Update:
    """Return the update of an embedder.

    Args:
        embedder: The networks; they stay on their device.
        optimiser: What steps their weights.
        precision: Arithmetic of the networks.
        compiled: Whether torch.compile fuses the loss.
    """
    device_type = next(embedder.parameters()).device.type
    mixed = precision is not torch.float32

    def loss(batch: SequenceBatch) -> EmbedderLoss:
        with torch.autocast(device_type, precision, enabled=mixed):
            return embedder.loss(batch)

    if compiled and can_be_whole(optimiser):
        step = whole_step(loss, optimiser)
    else:
        step = plain_step(fused(loss, device_type) if compiled else loss, optimiser)
    return lambda batch: losses_of(step(batch))


def fused(function: Callable[P, R], device_type: str) -> Callable[P, R]:
    """Return a function compiled: on a processor into few kernels, on a GPU into one CUDA graph.

    What a CUDA graph returns is overwritten by its next run; see `kept`.
    """
    return torch.compile(function, mode="reduce-overhead" if device_type == "cuda" else None)


def losses_of(made: EmbedderLoss | AgentLoss) -> Losses:
    """Return a loss and its parts, kept."""
    return {name: kept(value) for name, value in {**made.parts, LOSS: made.total}.items()}


def kept(value: Tensor) -> Tensor:
    """Return a copy, without gradient, that the next run of a CUDA graph leaves as it is."""
    return value.detach().clone()


def make_optimiser(embedder: BaseEmbedder, training: EmbedderTraining) -> Adam:
    """Return Adam over what the embedder trains, fused into one kernel for each of its groups.

    Weight decay, where a group asks for it, is decoupled: Loshchilov and Hutter (2019).
    """
    groups = embedder.parameter_groups()
    return Adam(groups, lr=training.learning_rate, fused=True, decoupled_weight_decay=True)


@dataclass(frozen=True)
class Compilation:
    """Whether torch.compile fuses the update."""

    wanted: bool
    failure: str = ""
    """Why it cannot, where it was tried and failed."""


def needs_trial(training: EmbedderTraining | AgentTraining, updates: int) -> bool:
    """Tell whether only a trial can say if torch.compile pays for so many updates."""
    return training.compile == "auto" and updates >= LONG_RUN_UPDATES


def choose_compilation(
    embedder: BaseEmbedder, training: EmbedderTraining, precision: torch.dtype, batch: SequenceBatch
) -> Compilation:
    """Decide whether torch.compile pays; for long runs by trying both on copies of the networks."""

    def copied_update(compiled: bool) -> Callable[[], Losses]:
        trial = copy.deepcopy(embedder)
        optimiser = make_optimiser(trial, training)
        update = make_update(trial, optimiser, precision, compiled=compiled)
        return lambda: update(batch)

    if not needs_trial(training, training.updates):
        return Compilation(training.compile == "always")
    return compilation_by_trial(copied_update, next(embedder.parameters()).device)


def compilation_by_trial(
    copied_update: Callable[[bool], Callable[[], Losses]], device: torch.device
) -> Compilation:
    """Decide by trying whether torch.compile pays.

    How much it brings depends on the processor: between 0.8 and 1.4 times the speed was measured on
    processors, more on GPUs. Where it cannot compile, for want of a C++ compiler, it is not used.

    Args:
        copied_update: Returns an update of a copy of the networks, compiled or not.
        device: Where they are.
    """
    if failure := _why_not_compiled(device):
        return Compilation(wanted=False, failure=failure)
    plain = copied_update(False)
    _seconds_per_update(plain, device)
    try:
        compiled = copied_update(True)
        _seconds_per_update(compiled, device)
    except (
        Exception
    ) as error:  # a compiler may fail in any way, and the plain update has just worked
        sys.stderr.write(f"torch.compile failed: {error}\n")  # whole, for the log
        return Compilation(wanted=False, failure=_first_line(error))
    # In turn, for what else the computer does meanwhile must not decide for weeks.
    gains = [
        _seconds_per_update(plain, device) / _seconds_per_update(compiled, device)
        for _ in range(TRIAL_ROUNDS)
    ]
    return Compilation(statistics.median(gains) > 1)


def _why_not_compiled(device: torch.device) -> str:
    """Return why a trial is of no use; nothing where it may be."""
    if device.type == "cpu" and " " in torch.__file__:
        return f"its C++ compiler is given {Path(torch.__file__).parent}, and stumbles at the space"
    return ""


def _first_line(error: Exception) -> str:
    """Return what a compiler complains of, without all that it shows for it."""
    lines = f"{type(error).__name__}: {error}".strip().splitlines()
    return textwrap.shorten(lines[0], REASON_CHARACTERS, placeholder=" ...")


def _seconds_per_update(update: Callable[[], Losses], device: torch.device) -> float:
    seconds: list[float] = []
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus):  # what a trial draws must not change the run
        for _ in range(TRIAL_UPDATES):
            start = time.perf_counter()
            update()[LOSS].item()  # waits for the device
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[TRIAL_UPDATES // 3 :])
