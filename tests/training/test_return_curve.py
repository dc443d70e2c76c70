"""The curve of training's returns: each episode counts once, in no more points than it may."""

from collections.abc import Mapping
from typing import cast

import pytest
import torch

from rlmaster.training import return_curve
from rlmaster.training.recording import Recording
from rlmaster.training.return_curve import ReturnCurve


class Heard:
    """Stands for the recording, and remembers the curve."""

    def __init__(self) -> None:
        self.curve: list[tuple[int, float]] = []

    def scalars(self, step: int, values: Mapping[str, torch.Tensor | float]) -> None:
        self.curve.append((step, float(values["train/return"])))


def made(total_steps: int) -> tuple[ReturnCurve, Heard]:
    heard = Heard()
    return ReturnCurve(cast("Recording", heard), total_steps), heard


def test_a_step_in_which_several_episodes_end_has_their_mean() -> None:
    curve, heard = made(1_000)
    curve.add(4, [])
    curve.add(8, [1.0, -3.0])
    curve.add(12, [5.0])
    assert heard.curve == [(8, -1), (12, 5)]


def test_where_episodes_end_more_often_than_points_may_be_each_still_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(return_curve, "RETURN_POINTS", 4)
    curve, heard = made(100)
    for step in range(10, 101, 10):
        curve.add(step, [float(step)])
    # A point ends with the first episode past 25, 50, 75 and 100 steps.
    assert heard.curve == [(30, 20), (50, 45), (80, 70), (100, 95)]


def test_a_resume_loses_no_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(return_curve, "RETURN_POINTS", 4)
    curve, heard = made(100)
    curve.add(10, [1.0])
    curve.add(20, [2.0])
    resumed, heard_later = made(100)
    resumed.load_state_dict(curve.state_dict())
    for each in (curve, resumed):
        each.add(30, [6.0])
        each.add(40, [1.0])
    assert heard_later.curve == heard.curve == [(30, 3)]
