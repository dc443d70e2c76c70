"""The curve of training's returns: raw rewards of the episodes that end while the agent learns."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rlmaster.training.recording import Recording

RETURN_POINTS = 10_000
"""Points of the curve at most; where episodes end more often, a point is the mean of several."""


class ReturnCurve:
    """Takes the return of each episode that ends."""

    def __init__(self, recording: Recording, total_steps: int) -> None:
        """Start the curve.

        Args:
            recording: Who keeps its points.
            total_steps: Agent steps of the whole run.
        """
        self._recording = recording
        self._steps_per_point = total_steps / RETURN_POINTS
        self._point = 0
        self._returns: list[float] = []

    def add(self, step: int, returns: Sequence[float]) -> None:
        """Take the returns of the episodes that ended at an agent step, if any did."""
        self._returns += returns
        point = int(step / self._steps_per_point)
        if self._returns and point > self._point:
            self._recording.scalars(step, {"train/return": statistics.fmean(self._returns)})
            self._point, self._returns = point, []

    def state_dict(self) -> dict[str, Any]:
        """Return the returns since the last point."""
        return {"point": self._point, "returns": list(self._returns)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._point, self._returns = state["point"], list(state["returns"])
