"""What the evaluations of an embedder come to: errors of frames, the lowest of them the best."""

from collections.abc import Mapping
from typing import Any

from rlmaster.training.ball_error import BallError
from rlmaster.training.evaluation import FrameErrors, Measurement
from rlmaster.training.results import Results

METRIC = "canonical/error"
"""The curve that a run is judged by: of frames that are the same for every run of the game."""


class EmbedderResults(Results[Measurement]):
    """The errors so far."""

    metric = METRIC
    axis = "updates"
    higher_is_better = False
    words = "error of canonical frames"
    value_name = "error"
    number_format = ".3g"

    def _name(self, measured: Measurement) -> str:
        del measured
        return "mean squared error of canonical frames"

    def _restored(self, data: Mapping[str, Any]) -> Measurement:
        return Measurement(**{name: _restored_errors(errors) for name, errors in data.items()})


def _restored_errors(data: Mapping[str, Any]) -> FrameErrors:
    ball = data["ball"]
    return FrameErrors(**{**data, "ball": BallError(**ball) if ball else None})
