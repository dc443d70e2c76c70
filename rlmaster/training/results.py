"""What the evaluations of a run come to."""

import statistics
from collections.abc import Mapping
from typing import Any

from rlmaster.training.evaluation import HeldOutError
from rlmaster.training.recording import Recording

METRIC = "held_out/error"
FOREGROUND_METRIC = "held_out/foreground_error"
LAST_EVALUATIONS = 3
"""A run's result is the mean of its last three scheduled evaluations, so no lucky one counts."""


class Results:
    """The measurements so far: each a scalar, the lowest an event, the last three the result."""

    def __init__(self, recording: Recording, before: HeldOutError) -> None:
        """Start with the error before the first update."""
        self._recording = recording
        self._before = before
        self._errors: list[HeldOutError] = []
        self._best: float = before.error
        self._record(0, before)

    def add(self, step: int, measured: HeldOutError) -> bool:
        """Keep a measurement and tell whether it is the best so far."""
        self._errors.append(measured)
        self._record(step, measured)
        is_best = measured.error < self._best
        if is_best:
            self._best = measured.error
            message = f"held-out error {measured.error:.3g}, the lowest so far"
            self._recording.event("new_best", message, step, error=measured.error)
        self._recording.result({"step": step, **self.summary()})
        return is_best

    def summary(self) -> Mapping[str, Any]:
        """Return what the run has come to so far, as progress.json keeps it."""
        last = self._errors[-LAST_EVALUATIONS:]
        return {
            "metric": METRIC,
            "axis": "updates",
            "name": "mean squared error of held-out pixels",
            "value": statistics.fmean(measured.error for measured in last),
            "before": self._before.error,
            "best": self._best,
            "foreground_value": statistics.fmean(measured.foreground_error for measured in last),
            "foreground_before": self._before.foreground_error,
        }

    def _record(self, step: int, measured: HeldOutError) -> None:
        values = {METRIC: measured.error, FOREGROUND_METRIC: measured.foreground_error}
        self._recording.scalars(step, values)
