"""What the evaluations of a run come to."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rlmaster.training.ball_error import BallError
from rlmaster.training.evaluation import FrameErrors, Measurement
from rlmaster.training.recording import Recording

METRIC = "canonical/error"
"""The curve that a run is judged by: of frames that are the same for every run of the game."""
LAST_EVALUATIONS = 3
"""A run's result is the mean of its last three scheduled evaluations, so no lucky one counts."""
PLATEAU_EVALUATIONS = 10
"""So many evaluations in a row without a new best are an event, once until the next best."""

_UNKNOWN = Measurement(FrameErrors(math.nan, None), FrameErrors(math.nan, None))


class Results:
    """The measurements so far: each a scalar, the lowest an event, the last three the result."""

    def __init__(self, recording: Recording) -> None:
        """Start without a measurement; `begin` or `restore` comes first."""
        self._recording = recording
        self._before = _UNKNOWN
        self._last: list[Measurement] = []
        self._best = math.inf
        self.best_step = 0
        """The update with the lowest error so far."""
        self._evaluations_since_best = 0
        self._step = 0

    def begin(self, before: Measurement) -> None:
        """Keep the error before the first update."""
        self._before, self._best = before, before.canonical.error
        self._record(0, before)

    def begin_branch(self, step: int, measured: Measurement) -> None:
        """Let what a parent's checkpoint restored count no more, but for the error before training.

        Args:
            step: The update that the branch begins with.
            measured: The error there, and so the branch's first best.
        """
        self._step, self._last = step, [measured]
        self._best, self.best_step, self._evaluations_since_best = measured.canonical.error, step, 0
        self._record(step, measured)
        self._report()

    def add(self, step: int, measured: Measurement) -> bool:
        """Keep a measurement and tell whether it is the best so far."""
        self._step = step
        self._last = [*self._last, measured][-LAST_EVALUATIONS:]
        self._record(step, measured)
        error = measured.canonical.error
        is_best = error < self._best
        if is_best:
            self._best, self.best_step, self._evaluations_since_best = error, step, 0
            message = f"error of canonical frames {error:.3g}, the lowest so far"
            self._recording.event("new_best", message, step, error=error)
        else:
            self._evaluations_since_best += 1
        if self._evaluations_since_best == PLATEAU_EVALUATIONS:
            message = (
                f"{PLATEAU_EVALUATIONS} evaluations without a new best; the lowest error of "
                f"canonical frames is {self._best:.3g}, of update {self.best_step:,}"
            )
            self._recording.event("plateau", message, step, best=self._best)
        self._report()
        return is_best

    def summary(self) -> Mapping[str, Any]:
        """Return what the run has come to so far, as progress.json keeps it."""
        last = [measured.scalars() for measured in self._last]
        means = {
            tag: statistics.fmean(values[tag] for values in last if tag in values)
            for tag in dict.fromkeys(tag for values in last for tag in values)
        }
        return {
            "step": self._step,
            "metric": METRIC,
            "axis": "updates",
            "name": "mean squared error of canonical frames",
            "value": means.pop(METRIC),
            "before": self._before.canonical.error,
            "best": self._best,
            **means,
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
        self._before = _restored(state["before"])
        self._last = [_restored(measured) for measured in state["last"]]
        self._best, self.best_step = state["best"], state["best_step"]
        self._evaluations_since_best = state["evaluations_since_best"]
        if self._last:
            self._report()

    def _report(self) -> None:
        self._recording.result(self.summary())

    def _record(self, step: int, measured: Measurement) -> None:
        self._recording.scalars(step, measured.scalars())


def _restored(data: Mapping[str, Any]) -> Measurement:
    """Return the measurement of which `asdict` made JSON data."""
    return Measurement(**{name: _restored_errors(errors) for name, errors in data.items()})


def _restored_errors(data: Mapping[str, Any]) -> FrameErrors:
    ball = data["ball"]
    return FrameErrors(**{**data, "ball": BallError(**ball) if ball else None})
