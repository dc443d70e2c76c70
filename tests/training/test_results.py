"""What evaluations come to: best, plateau and result, the same after a resume."""

import json
import math

import pytest
from heard_results import HeardResults

from rlmaster.training.ball_error import BallError
from rlmaster.training.embedder_results import EmbedderResults
from rlmaster.training.evaluation import FrameErrors, Measurement

ERRORS = [0.5, 0.6, 0.4, *[0.45] * 23, 0.3, *[0.35] * 12]


def measurement(error: float) -> Measurement:
    """What an evaluation came to, in which the ball is found as rarely as the error is large."""
    ball = BallError(4 * error, error, 7)
    return Measurement(FrameErrors(error, 2 * error, ball), FrameErrors(3 * error, 5 * error))


def results() -> tuple[EmbedderResults, HeardResults]:
    heard = HeardResults()
    return EmbedderResults(heard.as_recording), heard


def error_curve(heard: HeardResults) -> dict[int, float]:
    return {step: values["canonical/error"] for step, values in heard.curves.items()}


def measured(errors: list[float], done: EmbedderResults, first_step: int = 1) -> list[bool]:
    return [
        done.add(step, measurement(error)) for step, error in enumerate(errors, start=first_step)
    ]


def test_the_result_is_the_mean_of_the_last_three() -> None:
    done, heard = results()
    done.begin(measurement(0.9))
    assert measured([0.5, 0.6, 0.3, 0.6], done) == [True, False, True, False]
    assert heard.last["value"] == pytest.approx(0.5)
    assert heard.last["canonical/foreground_error"] == pytest.approx(1.0)
    assert heard.last["held_out/error"] == pytest.approx(1.5)
    assert heard.last["canonical/ball_found"] == pytest.approx(0.5)
    assert (heard.last["step"], heard.last["before"], heard.last["best"]) == (4, 0.9, 0.3)
    assert error_curve(heard) == {0: 0.9, 1: 0.5, 2: 0.6, 3: 0.3, 4: 0.6}


def test_ten_evaluations_without_a_best_are_a_plateau_once_until_the_next_best() -> None:
    done, heard = results()
    done.begin(measurement(0.9))
    measured(ERRORS, done)
    assert heard.kinds == [
        ("new_best", 1),
        ("new_best", 3),
        ("plateau", 13),
        ("new_best", 27),
        ("plateau", 37),
    ]


@pytest.mark.parametrize("cut_at", range(0, len(ERRORS), 5))
def test_a_resume_judges_on_as_if_nothing_had_happened(cut_at: int) -> None:
    whole, heard_whole = results()
    whole.begin(measurement(0.9))
    measured(ERRORS, whole)
    first, heard_first = results()
    first.begin(measurement(0.9))
    measured(ERRORS[:cut_at], first)
    second, heard_second = results()
    second.restore(json.loads(json.dumps(first.state())))
    assert heard_second.last == heard_first.last
    measured(ERRORS[cut_at:], second, cut_at + 1)
    assert heard_first.events + heard_second.events == heard_whole.events
    assert heard_second.last == heard_whole.last
    assert second.state() == whole.state()


def test_a_branch_has_a_best_and_a_result_of_its_own() -> None:
    parent, _ = results()
    parent.begin(measurement(0.9))
    measured([0.5, 0.2, 0.4], parent)
    branch, heard = results()
    branch.restore(json.loads(json.dumps(parent.state())))
    branch.begin_branch(3, measurement(0.4))
    assert error_curve(heard) == {3: 0.4}
    assert (heard.last["best"], branch.best_step) == (0.4, 3)
    assert measured([0.5, 0.3], branch, first_step=4) == [False, True]
    assert heard.last["value"] == pytest.approx(0.4)
    assert heard.last["before"] == 0.9


def test_what_is_not_known_is_neither_a_curve_nor_a_number_of_the_result() -> None:
    done, heard = results()
    nothing = Measurement(FrameErrors(0.5, None), FrameErrors(0.25, None))
    done.begin(nothing)
    done.add(1, nothing)
    assert nothing.scalars() == {"canonical/error": 0.5, "held_out/error": 0.25}
    assert {name for name in heard.last if "/" in name} == {"held_out/error"}


def test_an_error_that_is_no_number_is_never_the_best() -> None:
    done, heard = results()
    done.begin(measurement(0.9))
    assert measured([math.nan, 0.95, 0.8], done) == [False, False, True]
    assert heard.last["best"] == 0.8
    assert math.isnan(heard.last["value"])
