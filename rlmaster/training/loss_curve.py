"""The loss curves: how many points they have, and what their state is at a checkpoint."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rlmaster.training.divergence import DivergenceWatch
from rlmaster.training.recording import Recording
from rlmaster.training.update import LOSS

LOSS_POINTS = 10_000
"""Points of each curve at most; with four parts beside the loss, 50,000 scalars a run."""


class LossCurve:
    """Takes the loss of every update and its parts; a point is the mean of those since the last."""

    def __init__(
        self,
        recording: Recording,
        total_updates: int,
        device: torch.device,
        *,
        last_step: int | None = None,
        unit: str = "update",
    ) -> None:
        """Start the curves.

        Args:
            recording: Who keeps their points.
            total_updates: Updates of the whole run.
            device: Where the losses are.
            last_step: From which step on each update has a point; by default that of the last one,
                where steps are updates.
            unit: What steps count.
        """
        self._recording = recording
        self._last_step = total_updates if last_step is None else last_step
        self._device = device
        self._updates_per_point = math.ceil(total_updates / LOSS_POINTS)
        self._begin_point()
        self.watch = DivergenceWatch(recording, self._updates_per_point, unit)
        """Sees every point of the total, in the background."""

    def add(self, step: int, losses: Mapping[str, Tensor]) -> None:
        """Take the losses of an update, without waiting for their values but for the last one's.

        Args:
            step: The update's number, or the agent steps at which it is done.
            losses: The total, named `LOSS`, and whatever parts it has this time: scalars.

        Raises:
            TrainingError: If the total has stopped being a number.
        """
        for name, loss in losses.items():
            self._sums[name] = self._sums[name] + loss if name in self._sums else loss.float()
            self._summed[name] += 1
        is_last = step >= self._last_step
        if self._summed[LOSS] >= self._updates_per_point or is_last:
            self._make_point(step)
        if is_last:
            self._recording.flush()  # for the watch has seen the last loss only then
        self.watch.check()

    def _make_point(self, step: int) -> None:
        means = {name: total / self._summed[name] for name, total in self._sums.items()}
        self._recording.scalars(step, {f"train/{name}": mean for name, mean in means.items()})
        self.watch.observe(step, means[LOSS])
        self._begin_point()

    def _begin_point(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._summed: Counter[str] = Counter()

    def state(self) -> dict[str, Any]:
        """Return the sums since the last point as JSON data, waiting for their values."""
        sums = {name: float(total) for name, total in self._sums.items()}
        return {"sums": sums, "summed": dict(self._summed)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        sums = state["sums"]
        self._sums = {name: torch.tensor(sums[name], device=self._device) for name in sums}
        self._summed = Counter(state["summed"])
