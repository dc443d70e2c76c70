"""Everything that updates change, as one thing that a checkpoint holds and a resume brings back."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import torch
from torch import nn
from torch.optim import Optimizer

from rlmaster.embedders.base import load_networks
from rlmaster.errors import TrainingError
from rlmaster.experiment import AgentTraining, EmbedderTraining
from rlmaster.training.checkpoint import (
    Checkpoint,
    capture,
    copied_to_host,
    restore_random_states,
)
from rlmaster.training.computer import describe_computer
from rlmaster.training.loss_curve import LossCurve
from rlmaster.training.results import Results
from rlmaster.training.update import LOSS, choose_precision

COUNTERS_VERSION = 2


@dataclass(frozen=True)
class Arithmetic:
    """How updates are computed; for long runs a measurement decides, so a resume reuses it."""

    precision: torch.dtype
    """Of the networks."""
    compiled: bool
    """Whether torch.compile fuses the update."""

    @classmethod
    def resumed(
        cls,
        training: EmbedderTraining | AgentTraining,
        counters: Mapping[str, Any],
        device: torch.device,
    ) -> Self:
        """Return what a checkpoint's run computed with, unless the experiment now says otherwise.

        Between a processor and a GPU `auto` chooses anew, but for the trial of torch.compile, which
        is not repeated.

        Args:
            training: Whose `auto` leaves the choice.
            counters: The checkpoint's.
            device: Where updates run.
        """
        precision, compiled = training.precision, training.compile == "always"
        if counters["computer"]["device"] == device.type:
            before = counters["arithmetic"]
            precision = before["precision"] if precision == "auto" else precision
            compiled = before["compiled"] if training.compile == "auto" else compiled
        return cls(choose_precision(precision, device), compiled)

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {"precision": str(self.precision).removeprefix("torch."), "compiled": self.compiled}

    def __str__(self) -> str:
        data = self.to_data()
        return f"{'compiled' if self.compiled else 'eager'} {data['precision']}"


class Stateful(Protocol):
    """Whatever a checkpoint can hold, by the names that torch has for it."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors, numbers, text, lists and dicts only."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> None:
        """Be as what was captured."""
        ...


@dataclass
class Learner:
    """What learns, and all that decides how it goes on from a step."""

    networks: nn.Module
    optimiser: Optimizer
    curve: LossCurve
    results: Results
    arithmetic: Arithmetic
    run_id: str
    """Of the run that learns, so that a branch knows its parent's checkpoints from its own."""
    unit: str = "update"
    """What the steps of its checkpoints count."""
    others: Mapping[str, Stateful] = field(default_factory=dict[str, Stateful])
    """What else has a state, by its name in the checkpoint."""
    before_writing: Callable[[Checkpoint], object] = lambda _checkpoint: None
    """Keeps, in the background, what a checkpoint needs beside itself."""

    def capture(self, step: int) -> Checkpoint | None:
        """Copy all state, but for what `complete` adds; None where the loss is no number any more.

        Nobody wants to go on from there: a resume, or a branch with a smaller learning rate, finds
        the checkpoint before.
        """
        curve = self.curve.state()
        if not math.isfinite(curve["sums"].get(LOSS, 0.0)):
            return None
        counters = {
            "version": COUNTERS_VERSION,
            "run": self.run_id,
            "updates": step,
            "unit": self.unit,
            "curve": curve,
            "results": self.results.state(),
            "arithmetic": self.arithmetic.to_data(),
            "computer": describe_computer(next(self.networks.parameters()).device),
        }
        checkpoint = capture(step, self.networks, self.optimiser, counters)
        checkpoint.state.update(
            (name, copied_to_host(other.state_dict())) for name, other in self.others.items()
        )
        return checkpoint

    def complete(self, checkpoint: Checkpoint) -> bool:
        """Add what only the background knows, once it has seen the curve up to the checkpoint.

        Returns:
            Whether the loss was a number up to there, and the weights are numbers, so that the
            checkpoint is worth keeping.
        """
        watch = self.curve.watch
        if not checkpoint.holds_numbers:
            watch.report_no_number("the weights are not numbers", checkpoint.step)
        checkpoint.counters["divergence"] = watch.state()
        self.before_writing(checkpoint)
        return watch.sees_numbers

    def restore(self, checkpoint: Checkpoint) -> None:
        """Bring all back to the moment of a checkpoint, after the embedder has been prepared.

        Learning rate and weight decay stay the experiment's: a branch may have others than its
        parent.

        Raises:
            TrainingError: If it is of other networks.
        """
        counters = checkpoint.counters
        try:
            load_networks(self.networks, checkpoint.networks)
            _load(self.optimiser, checkpoint.state["optimiser"])
        except (TrainingError, KeyError, ValueError) as error:
            raise _unfit(checkpoint) from error
        try:
            for name, other in self.others.items():
                _load(other, checkpoint.state[name])
        except (KeyError, ValueError) as error:
            raise _unfit(checkpoint) from error
        self.curve.restore(counters["curve"])
        self.curve.watch.restore(counters["divergence"])
        self.results.restore(counters["results"])
        restore_random_states(checkpoint.state)


def _unfit(checkpoint: Checkpoint) -> TrainingError:
    return TrainingError(
        f"the checkpoint of {checkpoint.unit} {checkpoint.step:,} is of other networks than this "
        "run's; resume and branch keep what gives them their shape, such as embedder.latent_dim or "
        "agent.hidden_units, so launch a new run for others"
    )


def _load(kept: Stateful, state: Mapping[str, Any]) -> None:
    """Load a state; of an optimiser not its learning rate and the like, which a run may change."""
    if not isinstance(kept, Optimizer):
        kept.load_state_dict(state)
        return
    groups = [
        {**own, "params": group["params"]}
        for group, own in zip(state["param_groups"], kept.param_groups, strict=True)
    ]
    kept.load_state_dict({**state, "param_groups": groups})


def require_fit(checkpoint: Checkpoint, total: int, unit: str = "update", at_once: int = 1) -> None:
    """Refuse, before anything takes long, a checkpoint that an experiment cannot go on from.

    Args:
        checkpoint: What shall be gone on from.
        total: Updates, or agent steps, that the experiment asks for.
        unit: Which of the two.
        at_once: Most that are done at once, so that the last may lie beyond the total.

    Raises:
        TrainingError: If it is of another version, or of a later update.
    """
    which = f"the checkpoint of {checkpoint.unit} {checkpoint.step:,}"
    field_name = "agent_training.steps" if unit == "step" else "training.updates"
    if checkpoint.counters.get("version") != COUNTERS_VERSION:
        raise TrainingError(
            f"{which} was written by a version of RLmaster whose runs could not be resumed; "
            "launch a new run"
        )
    if checkpoint.unit != unit:
        raise TrainingError(
            f"{which} is of another kind of run; a branch neither gets nor loses an agent, so "
            "launch a new run"
        )
    if checkpoint.step >= total + at_once:
        raise TrainingError(
            f"{which} is beyond the {total:,} {unit}s of this run; ask for more ({field_name}) "
            "or branch from an earlier checkpoint"
        )
