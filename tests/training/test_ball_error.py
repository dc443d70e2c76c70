"""The ball in what is drawn: kept, moved, left out, blurred; beside other things, at the edge."""

import numpy as np
import pytest

from rlmaster.training.ball_error import BallError, BallTally

FIELD, BALL = 0.3, 0.9
BACKGROUND = np.full((84, 84), FIELD, np.float32)
PLACES = np.array([[20, 30], [50, 60], [40, 11], [81, 82], [0, 0]])
"""Top left corner of the ball in each frame; the last two lie in corners."""
BOXES = np.concatenate([PLACES, PLACES + 2], axis=1)


def field(count: int = len(PLACES)) -> np.ndarray:
    return np.repeat(BACKGROUND[None], count, axis=0)


def with_balls(frames: np.ndarray, places: np.ndarray, level: float = BALL) -> np.ndarray:
    """Return frames with a ball of 2 × 2 pixels in each."""
    drawn = frames.copy()
    for frame, (row, column) in zip(drawn, places.tolist(), strict=True):
        frame[max(row, 0) : row + 2, max(column, 0) : column + 2] = level
    return drawn


TRUE = with_balls(field(), PLACES)


def what_became_of_it(
    drawn: np.ndarray, true: np.ndarray = TRUE, boxes: np.ndarray = BOXES
) -> BallError:
    tally = BallTally(BACKGROUND)
    tally.add(true, drawn, boxes)
    result = tally.result()
    assert result is not None
    return result


def test_a_ball_that_is_kept_is_found() -> None:
    assert what_became_of_it(TRUE) == BallError(0.0, 1.0, 5)


@pytest.mark.parametrize(("moved", "found"), [(1, 1.0), (2, 1.0), (3, 0.0), (4, 0.0)])
def test_a_ball_that_is_moved_is_found_within_two_pixels(moved: int, found: float) -> None:
    towards_the_middle = np.where(PLACES < 42, moved, -moved) * [0, 1]
    became = what_became_of_it(with_balls(field(), PLACES + towards_the_middle))
    assert became.found == found
    assert became.error > 0


def test_a_ball_that_is_left_out_costs_its_contrast_over_the_box_and_a_margin() -> None:
    became = what_became_of_it(field())
    assert became.found == 0
    # Each with its margin has 4 × 4 pixels; the edges leave 4 × 3 and 3 × 3 of the last two.
    pixels = 3 * 16 + 12 + 9
    assert became.error == pytest.approx(5 * 4 * (BALL - FIELD) ** 2 / pixels, rel=1e-5)


@pytest.mark.parametrize(("level", "found"), [(FIELD + 0.31, 1.0), (FIELD + 0.29, 0.0)])
def test_a_ball_must_be_half_as_bright_as_it_is(level: float, found: float) -> None:
    assert what_became_of_it(with_balls(field(), PLACES, level)).found == found


def test_a_blurred_ball_is_not_found() -> None:
    shifted = [
        np.roll(TRUE[:3], (row, column), axis=(1, 2)) for row in range(-2, 3) for column in (0, 1)
    ]
    blurred = np.mean([*shifted, *[field(3)] * 5], axis=0, dtype=np.float32)
    assert what_became_of_it(blurred, TRUE[:3], BOXES[:3]).found == 0


def test_a_dark_ball_is_a_ball_and_a_bright_spot_in_its_place_is_none() -> None:
    dark = with_balls(field(), PLACES, 0.05)
    assert what_became_of_it(dark, dark).found == 1
    assert what_became_of_it(TRUE, dark).found == 0


def test_what_moves_beside_the_ball_is_no_ball() -> None:
    others = field(1)
    others[0, 20:22, 32] = BALL  # as bright, and near enough to be taken for it
    true = with_balls(others, PLACES[:1])
    assert what_became_of_it(true, true, BOXES[:1]).found == 1
    assert what_became_of_it(others, true, BOXES[:1]).found == 0
    larger = others.copy()
    larger[0, 19, 31] = BALL  # drawn a pixel too large it is still no ball
    assert what_became_of_it(larger, true, BOXES[:1]).found == 0


def test_a_second_ball_does_not_pull_the_first_away() -> None:
    twice = with_balls(TRUE, np.where(PLACES < 42, PLACES + 6, PLACES - 6), BALL - 0.1)
    assert what_became_of_it(twice).found == 1


def test_frames_without_a_ball_that_can_be_seen_do_not_count() -> None:
    hidden = TRUE.copy()
    hidden[1:] = FIELD  # such as a ball in front of bricks of its own colour
    assert what_became_of_it(hidden, hidden) == BallError(0.0, 1.0, 1)
    tally = BallTally(BACKGROUND)
    assert tally.result() is None
    tally.add(field(), field(), BOXES)
    assert tally.result() is None


def test_batches_add_up() -> None:
    drawn = with_balls(field(), PLACES + np.array([0, 1]))
    tally = BallTally(BACKGROUND)
    for number in range(len(PLACES)):
        one = slice(number, number + 1)
        tally.add(TRUE[one], drawn[one], BOXES[one])
    whole, added = what_became_of_it(drawn), tally.result()
    assert added is not None
    assert added.error == pytest.approx(whole.error)
    assert (added.found, added.frames) == (whole.found, whole.frames)


def test_what_is_no_number_is_never_a_small_error() -> None:
    became = what_became_of_it(np.full_like(TRUE, np.nan))
    assert np.isnan(became.error)
    assert became.found == 0
