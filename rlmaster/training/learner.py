"""Everything that updates change, as one thing that a checkpoint holds and a resume brings back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch.optim import Adam

from rlmaster.embedders.base import BaseEmbedder
from rlmaster.errors import TrainingError
from rlmaster.experiment import EmbedderTraining
from rlmaster.training.checkpoint import (
    Checkpoint,
    capture,
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
        cls, training: EmbedderTraining, data: Mapping[str, Any], device: torch.device
    ) -> Self:
        """Return what a checkpoint's run computed with, unless the experiment now says otherwise.

        Args:
            training: Whose `auto` leaves the choice.
            data: What `to_data` returned.
            device: Where updates run.
        """
        wanted = data["precision"] if training.precision == "auto" else training.precision
        compiled = data["compiled"] if training.compile == "auto" else training.compile == "always"
        return cls(choose_precision(wanted, device), compiled)

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {"precision": str(self.precision).removeprefix("torch."), "compiled": self.compiled}

    def __str__(self) -> str:
        data = self.to_data()
        return f"{'compiled' if self.compiled else 'eager'} {data['precision']}"


@dataclass
class Learner:
    """What learns, and all that decides how it goes on from a step."""

    embedder: BaseEmbedder
    optimiser: Adam
    curve: LossCurve
    results: Results
    arithmetic: Arithmetic
    run_id: str
    """Of the run that learns, so that a branch knows its parent's checkpoints from its own."""

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
            "curve": curve,
            "results": self.results.state(),
            "arithmetic": self.arithmetic.to_data(),
            "computer": describe_computer(next(self.embedder.parameters()).device),
        }
        return capture(step, self.embedder, self.optimiser, counters)

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
        return watch.sees_numbers

    def restore(self, checkpoint: Checkpoint) -> None:
        """Bring all back to the moment of a checkpoint, after the embedder has been prepared.

        Learning rate and weight decay stay the experiment's: a branch may have others than its
        parent.

        Raises:
            TrainingError: If it is of other networks.
        """
        counters = checkpoint.counters
        settings = [_settings_of(group) for group in self.optimiser.param_groups]
        try:
            self.embedder.load_state_dict(checkpoint.networks)
            self.optimiser.load_state_dict(checkpoint.state["optimiser"])
        except (RuntimeError, ValueError) as error:
            raise TrainingError(
                f"the checkpoint of update {checkpoint.step:,} is of other networks than this "
                "run's embedder; a branch keeps what gives them their shape, such as "
                "embedder.latent_dim, so launch a new run for others"
            ) from error
        for group, own in zip(self.optimiser.param_groups, settings, strict=True):
            group.update(own)
        self.curve.restore(counters["curve"])
        self.curve.watch.restore(counters["divergence"])
        self.results.restore(counters["results"])
        restore_random_states(checkpoint.state)


def _settings_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an optimiser does with a group of parameters, without these."""
    return {name: value for name, value in group.items() if name != "params"}


def require_fit(checkpoint: Checkpoint, total_updates: int) -> None:
    """Refuse, before anything takes long, a checkpoint that an experiment cannot go on from.

    Args:
        checkpoint: What shall be gone on from.
        total_updates: Updates that the experiment asks for.

    Raises:
        TrainingError: If it is of another version, or of a later update.
    """
    which = f"the checkpoint of update {checkpoint.step:,}"
    if checkpoint.counters.get("version") != COUNTERS_VERSION:
        raise TrainingError(
            f"{which} was written by a version of RLmaster whose runs could not be resumed; "
            "launch a new run"
        )
    if checkpoint.step > total_updates:
        raise TrainingError(
            f"{which} is beyond the {total_updates:,} updates of this run; ask for more "
            "(training.updates) or branch from an earlier checkpoint"
        )
