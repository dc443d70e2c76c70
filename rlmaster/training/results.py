"""What the evaluations of a run come to."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rlmaster.training.evaluation import HeldOutError
from rlmaster.training.recording import Recording

METRIC = "held_out/error"
FOREGROUND_METRIC = "held_out/foreground_error"
LAST_EVALUATIONS = 3
"""A run's result is the mean of its last three scheduled evaluations, so no lucky one counts."""
PLATEAU_EVALUATIONS = 10
"""So many evaluations in a row without a new best are an event, once until the next best."""


class Results:
    """The measurements so far: each a scalar, the lowest an event, the last three the result."""

    def __init__(self, recording: Recording) -> None:
        """Start without a measurement; `begin` or `restore` comes first."""
        self._recording = recording
        self._before = HeldOutError(math.nan, math.nan)
        self._last: list[HeldOutError] = []
        self._best = math.inf
        self.best_step = 0
        """The update with the lowest error so far."""
        self._evaluations_since_best = 0
        self._step = 0

    def begin(self, before: HeldOutError) -> None:
        """Keep the error before the first update."""
        self._before, self._best = before, before.error
        self._record(0, before)

    def begin_branch(self, step: int, measured: HeldOutError) -> None:
        """Let what a parent's checkpoint restored count no more, but for the error before training.

        Args:
            step: The update that the branch begins with.
            measured: The error there, and so the branch's first best.
        """
        self._step, self._last = step, [measured]
        self._best, self.best_step, self._evaluations_since_best = measured.error, step, 0
        self._record(step, measured)
        self._report()

    def add(self, step: int, measured: HeldOutError) -> bool:
        """Keep a measurement and tell whether it is the best so far."""
        self._step = step
        self._last = [*self._last, measured][-LAST_EVALUATIONS:]
        self._record(step, measured)
        is_best = measured.error < self._best
        if is_best:
            self._best, self.best_step, self._evaluations_since_best = measured.error, step, 0
            message = f"held-out error {measured.error:.3g}, the lowest so far"
            self._recording.event("new_best", message, step, error=measured.error)
        else:
            self._evaluations_since_best += 1
        if self._evaluations_since_best == PLATEAU_EVALUATIONS:
            message = (
                f"{PLATEAU_EVALUATIONS} evaluations without a new best; the lowest held-out error "
                f"is {self._best:.3g}, of update {self.best_step:,}"
            )
            self._recording.event("plateau", message, step, best=self._best)
        self._report()
        return is_best

    def summary(self) -> Mapping[str, Any]:
        """Return what the run has come to so far, as progress.json keeps it."""
        return {
            "step": self._step,
            "metric": METRIC,
            "axis": "updates",
            "name": "mean squared error of held-out pixels",
            "value": statistics.fmean(measured.error for measured in self._last),
            "before": self._before.error,
            "best": self._best,
            "foreground_value": statistics.fmean(m.foreground_error for m in self._last),
            "foreground_before": self._before.foreground_error,
        }

    def state(self) -> dict[str, Any]:
        """Return all that further measurements are judged by, as JSON data."""
        return {
            "step": self._step,
            "before": asdict(self._before),
            "last": [asdict(measured) for measured in self._last],
            "best": self._best,
            "best_step": self.best_step,
            "evaluations_since_best": self._evaluations_since_best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._step = state["step"]
        self._before = HeldOutError(**state["before"])
        self._last = [HeldOutError(**measured) for measured in state["last"]]
        self._best, self.best_step = state["best"], state["best_step"]
        self._evaluations_since_best = state["evaluations_since_best"]
        if self._last:
            self._report()

    def _report(self) -> None:
        self._recording.result(self.summary())

    def _record(self, step: int, measured: HeldOutError) -> None:
        values = {METRIC: measured.error, FOREGROUND_METRIC: measured.foreground_error}
        self._recording.scalars(step, values)
