"""The loss curve: how many points it has, and what its state is at a checkpoint."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rlmaster.training.divergence import DivergenceWatch
from rlmaster.training.recording import Recording

LOSS_POINTS = 10_000
"""Points of the loss curve at most; with its companions well under 50,000 scalars a run."""


class LossCurve:
    """Takes the loss of every update; each point is the mean of those since the one before."""

    def __init__(self, recording: Recording, total_updates: int, device: torch.device) -> None:
        """Start a curve.

        Args:
            recording: Who keeps its points.
            total_updates: Updates of the whole run; at the last one there is a point.
            device: Where the losses are.
        """
        self._recording = recording
        self._total_updates = total_updates
        self._updates_per_point = math.ceil(total_updates / LOSS_POINTS)
        self._sum, self._summed = torch.zeros((), device=device), 0
        self.watch = DivergenceWatch(recording, self._updates_per_point)
        """Sees every point, in the background."""

    def add(self, step: int, loss: Tensor) -> None:
        """Take the loss of an update, without waiting for its value but for the last one's.

        Raises:
            TrainingError: If the loss has stopped being a number.
        """
        self._sum, self._summed = self._sum + loss, self._summed + 1
        if self._summed >= self._updates_per_point or step == self._total_updates:
            mean, self._sum, self._summed = self._sum / self._summed, torch.zeros_like(self._sum), 0
            self._recording.scalars(step, {"train/loss": mean})
            self.watch.observe(step, mean)
        if step == self._total_updates:
            self._recording.flush()  # for the watch has seen the last loss only then
        self.watch.check()

    def state(self) -> dict[str, Any]:
        """Return the sum since the last point as JSON data, waiting for its value."""
        return {"sum": float(self._sum), "summed": self._summed}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._sum, self._summed = torch.full_like(self._sum, state["sum"]), int(state["summed"])
