"""Divergence: a loss that is no number ends the run, a high one for long is an event."""

import json
from typing import cast

import pytest

from rlmaster.errors import TrainingError
from rlmaster.training.divergence import DivergenceWatch
from rlmaster.training.recording import Recording


class HeardEvents:
    """Stands for the recording, of which the watch only needs `event`."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    def event(self, kind: str, _message: str, step: int = 0, **_values: float) -> None:
        self.events.append((kind, step))


def watch(updates_per_point: int = 1) -> tuple[DivergenceWatch, HeardEvents]:
    heard = HeardEvents()
    return DivergenceWatch(cast("Recording", heard), updates_per_point), heard


def test_a_steady_loss_is_no_event() -> None:
    watching, heard = watch()
    for step in range(1000):
        watching.judge(step, 1.0 + 0.1 * (step % 7))
    watching.check()
    assert heard.events == []


def test_a_loss_that_is_no_number_ends_the_run_and_is_said_once() -> None:
    watching, heard = watch()
    watching.judge(1, 1.0)
    watching.judge(2, float("nan"))
    watching.judge(3, float("inf"))
    assert heard.events == [("diverged", 2)]
    with pytest.raises(TrainingError, match="learning_rate"):
        watching.check()


@pytest.mark.parametrize("updates_per_point", [1, 10])
def test_a_loss_over_ten_times_the_usual_for_100_updates_is_an_event(
    updates_per_point: int,
) -> None:
    watching, heard = watch(updates_per_point)
    for step in range(0, 500, updates_per_point):
        watching.judge(step, 1.0)
    high = list(range(500, 700, updates_per_point))
    for step in high:
        watching.judge(step, 10.1)
    assert heard.events == [("diverged", high[100 // updates_per_point - 1])]


def test_a_short_peak_is_no_event() -> None:
    watching, heard = watch()
    for step in range(1000):
        watching.judge(step, 50.0 if 500 <= step < 599 else 1.0)
    assert heard.events == []


@pytest.mark.parametrize("cut_at", [200, 530, 598, 650])
def test_a_resumed_watch_goes_on_counting(cut_at: int) -> None:
    losses = {step: 50.0 if 500 <= step < 620 else 1.0 for step in range(800)}
    first, heard_first = watch()
    second, heard_second = watch()
    for step in range(cut_at):
        first.judge(step, losses[step])
    second.restore(json.loads(json.dumps(first.state())))
    for step in range(cut_at, 800):
        second.judge(step, losses[step])
    assert heard_first.events + heard_second.events == [("diverged", 599)]


def test_it_knows_whether_the_loss_has_been_a_number() -> None:
    watching, _ = watch()
    watching.judge(1, 1.0)
    assert watching.sees_numbers
    watching.judge(2, float("inf"))
    assert not watching.sees_numbers
