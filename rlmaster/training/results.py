"""What the evaluations of a run come to: the best, a plateau, and the result."""

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import Field, asdict
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from rlmaster.training.recording import Recording

LAST_EVALUATIONS = 3
"""A run's result is the mean of its last three scheduled evaluations, so no lucky one counts."""
PLATEAU_EVALUATIONS = 10
"""So many evaluations in a row without a new best are an event, once until the next best."""


class Measured(Protocol):
    """What one evaluation came to, a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def scalars(self) -> Mapping[str, float]:
        """Return all that is known, by the tag of its curve."""
        ...


AnyMeasured = TypeVar("AnyMeasured", bound=Measured)


class Results(ABC, Generic[AnyMeasured]):
    """The measurements so far: each a scalar, the best an event, the last three the result."""

    metric: ClassVar[str]
    """The curve that a run is judged by, which every measurement has a value of."""
    axis: ClassVar[str]
    """What counts the steps of that curve: updates or steps."""
    higher_is_better: ClassVar[bool]
    """Whether the highest value is the best, or the lowest."""
    words: ClassVar[str]
    """What the metric is, in the middle of a sentence."""
    value_name: ClassVar[str]
    """What an event calls a value of the metric."""
    number_format: ClassVar[str]
    """How a value of the metric is written in a sentence."""

    def __init__(self, recording: Recording) -> None:
        """Start without a measurement; `begin` or `restore` comes first."""
        self._recording = recording
        self._before: AnyMeasured | None = None
        self._last: list[AnyMeasured] = []
        self._best = -math.inf if self.higher_is_better else math.inf
        self.best_step = 0
        """The step with the best value so far."""
        self._evaluations_since_best = 0
        self.step = 0
        """The step that was measured last."""

    def begin(self, before: AnyMeasured) -> None:
        """Keep what was measured before the first update."""
        self._before, self._best = before, self._value(before)
        self._record(0, before)

    def begin_branch(self, step: int, measured: AnyMeasured) -> None:
        """Let what a parent's checkpoint restored count no more, but for what was before training.

        Args:
            step: The step that the branch begins with.
            measured: What was measured there, and so the branch's first best.
        """
        self.step, self._last = step, [measured]
        self._best, self.best_step = self._value(measured), step
        self._evaluations_since_best = 0
        self._record(step, measured)
        self._report()

    def add(self, step: int, measured: AnyMeasured) -> bool:
        """Keep a measurement and tell whether it is the best so far."""
        self.step = step
        self._last = [*self._last, measured][-LAST_EVALUATIONS:]
        self._record(step, measured)
        is_best = self._is_better(self._value(measured))
        if is_best:
            self._keep_best(step, self._value(measured))
        else:
            self._evaluations_since_best += 1
        if self._evaluations_since_best == PLATEAU_EVALUATIONS:
            self._say_plateau(step)
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
            "step": self.step,
            "metric": self.metric,
            "axis": self.axis,
            "name": self._name(self._last[-1]),
            "value": means.pop(self.metric),
            "before": math.nan if self._before is None else self._value(self._before),
            "best": self._best,
            "higher_is_better": self.higher_is_better,
            **means,
        }

    def state(self) -> dict[str, Any]:
        """Return all that further measurements are judged by, as JSON data."""
        return {
            "step": self.step,
            "before": None if self._before is None else asdict(self._before),
            "last": [asdict(measured) for measured in self._last],
            "best": self._best,
            "best_step": self.best_step,
            "evaluations_since_best": self._evaluations_since_best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.step, before = state["step"], state["before"]
        self._before = None if before is None else self._restored(before)
        self._last = [self._restored(measured) for measured in state["last"]]
        self._best, self.best_step = state["best"], state["best_step"]
        self._evaluations_since_best = state["evaluations_since_best"]
        if self._last:
            self._report()

    # ------------------------------------------------------------------ what a subclass says

    @abstractmethod
    def _name(self, measured: AnyMeasured) -> str:
        """Return what the result is, as tables and reports call it."""

    @abstractmethod
    def _restored(self, data: Mapping[str, Any]) -> AnyMeasured:
        """Return the measurement of which `asdict` made JSON data."""

    # ------------------------------------------------------------------------------- its parts

    def _value(self, measured: AnyMeasured) -> float:
        return measured.scalars()[self.metric]

    def _is_better(self, value: float) -> bool:
        return value > self._best if self.higher_is_better else value < self._best

    def _keep_best(self, step: int, value: float) -> None:
        self._best, self.best_step, self._evaluations_since_best = value, step, 0
        message = f"{self.words} {self._written(value)}, the {self._extreme} so far"
        self._recording.event("new_best", message, step, **{self.value_name: value})

    def _say_plateau(self, step: int) -> None:
        message = (
            f"{PLATEAU_EVALUATIONS} evaluations without a new best; the {self._extreme} "
            f"{self.words} is {self._written(self._best)}, of {self.axis.removesuffix('s')} "
            f"{self.best_step:,}"
        )
        self._recording.event("plateau", message, step, best=self._best)

    @property
    def _extreme(self) -> str:
        return "highest" if self.higher_is_better else "lowest"

    def _written(self, value: float) -> str:
        return format(value, self.number_format)

    def _report(self) -> None:
        self._recording.result(self.summary())

    def _record(self, step: int, measured: AnyMeasured) -> None:
        self._recording.scalars(step, measured.scalars())
