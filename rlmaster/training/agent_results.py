"""What the evaluations of an agent come to: returns, the highest of them the best."""

from collections.abc import Mapping
from typing import Any

from rlmaster.atari.scores import reference_scores
from rlmaster.training.playing import RETURN, Returns
from rlmaster.training.recording import Recording
from rlmaster.training.results import Results


class AgentResults(Results[Returns]):
    """The returns so far; the first above random play's and above a human's are events."""

    metric = RETURN
    axis = "steps"
    higher_is_better = True
    words = "mean return"
    value_name = "mean_return"
    number_format = ",.1f"

    def __init__(self, recording: Recording) -> None:
        """Start without a measurement; `begin` or `restore` comes first."""
        super().__init__(recording)
        self._passed: set[str] = set()

    def begin_branch(self, step: int, measured: Returns) -> None:
        """Begin as any branch; what its first return is above is nothing that it will pass."""
        super().begin_branch(step, measured)
        self._passed = set(_above(measured))

    def add(self, step: int, measured: Returns) -> bool:
        """Keep a measurement and tell whether it is the best so far."""
        is_best = super().add(step, measured)
        for kind, sentence in _above(measured).items():
            if kind not in self._passed:
                self._recording.event(kind, sentence, step, mean_return=measured.mean)
        self._passed |= _above(measured).keys()
        return is_best

    def state(self) -> dict[str, Any]:
        """Return all that further measurements are judged by, as JSON data."""
        return {**super().state(), "passed": sorted(self._passed)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        super().restore(state)
        self._passed = set(state["passed"])

    def _name(self, measured: Returns) -> str:
        count = len(measured.returns)
        return f"mean return of {count} episode{'' if count == 1 else 's'}"

    def _restored(self, data: Mapping[str, Any]) -> Returns:
        return Returns(data["game"], tuple(data["returns"]), tuple(data["steps"]))


def _above(measured: Returns) -> dict[str, str]:
    """Return the event of each reference score that a mean return is above, and its sentence."""
    scores = reference_scores(measured.game)
    if scores is None:
        return {}
    references = {
        "above_random": ("the random agent's", scores.random),
        "above_human": ("the human tester's", scores.human),
    }
    return {
        kind: f"first mean return above {whose} {score:,.1f}: {measured.mean:,.1f}"
        for kind, (whose, score) in references.items()
        if measured.mean > score
    }
