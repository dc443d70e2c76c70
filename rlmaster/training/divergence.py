"""Noticing that training has diverged, without ever making it wait for a number."""

import math
import statistics
from collections import deque
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rlmaster.errors import TrainingError
from rlmaster.training.recording import Recording

FACTOR = 10.0
PATIENCE_UPDATES = 100
REMEMBERED_POINTS = 200
WHAT_HELPS = {
    "update": "training.learning_rate or training.precision=float32",
    "step": "agent.learning_rate or agent_training.precision=float32",
}
"""Against a loss that is no number, by what the steps of a run count."""


class DivergenceWatch:
    """Sees every point of the loss curve: no number ends the run, a high one is an event."""

    def __init__(self, recording: Recording, updates_per_point: int, unit: str = "update") -> None:
        """Watch a curve that has one point every so many updates, whose steps count a unit."""
        self._recording = recording
        self._unit = unit
        self._patience_points = math.ceil(PATIENCE_UPDATES / updates_per_point)
        self._usual: deque[float] = deque(maxlen=REMEMBERED_POINTS)
        self._high_points = 0
        self._no_number = ""

    def observe(self, step: int, loss: Tensor) -> None:
        """Look at a point in the background, where waiting for its value costs nothing."""
        self._recording.later(lambda: self.judge(step, float(loss)))

    def judge(self, step: int, loss: float) -> None:
        """Look at a point of the curve."""
        if not math.isfinite(loss):
            self.report_no_number("the loss is not a number", step)
            return
        high = bool(self._usual) and loss > FACTOR * statistics.median(self._usual)
        self._high_points = self._high_points + 1 if high else 0
        if self._high_points == self._patience_points:
            message = f"the loss has been over {FACTOR:.0f} times its usual value, now {loss:.3g}"
            self._recording.event("diverged", message, step, loss=loss)
        if not high:
            self._usual.append(loss)

    def report_no_number(self, what: str, step: int) -> None:
        """Let the run end for something that is no number any more, said in a clause."""
        if not self._no_number:
            self._no_number = f"{what} at {self._unit} {step:,}"
            self._recording.event("diverged", self._no_number, step)

    @property
    def sees_numbers(self) -> bool:
        """Whether all that was looked at so far has been a number."""
        return not self._no_number

    def state(self) -> dict[str, Any]:
        """Return as JSON data what was seen of a curve whose points have all been numbers."""
        return {"usual": list(self._usual), "high_points": self._high_points}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._usual.extend(state["usual"])
        self._high_points = int(state["high_points"])

    def check(self) -> None:
        """End the run where the loss, or a weight, has stopped being a number.

        Raises:
            TrainingError: With what to change.
        """
        if self._no_number:
            raise TrainingError(
                f"{self._no_number}; a smaller {WHAT_HELPS[self._unit]} usually helps"
            )
