import numpy as np
import pytest

from rlmaster.atari.ball import Ball, games_with_ball
from rlmaster.atari.emulators import EmulatorEnvironments
from rlmaster.atari.policies import RandomPolicy, ScriptedPolicy
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.errors import UsageError

# Rows and columns in which nothing but the ball moves: between the paddles, below the bricks.
BALL_ALONE = {"pong": (slice(14, 77), slice(11, 73)), "breakout": (slice(38, 75), slice(5, 79))}


def played(game, *, scripted, steps=350):
    """Return newest frames and memory, `(B, 84, 84)` and `(B, 128)`, but for episodes' last."""
    environments = EmulatorEnvironments(game, PROTOCOLS["machado2018"], num_environments=4, seed=2)
    policy = RandomPolicy(num_actions=environments.num_actions, seed=1)
    if scripted:
        policy = ScriptedPolicy(game, environments.action_meanings)
    step, frames, ram = environments.reset(), [], []
    for _ in range(steps):
        step = environments.step(policy.actions(step, environments.ram()))
        frames.append(step.observation[~step.ended, -1])
        ram.append(environments.ram()[~step.ended])
    return np.concatenate(frames), np.concatenate(ram)


@pytest.fixture(scope="module", params=["pong", "breakout"])
def game(request):
    return request.param


@pytest.fixture(scope="module", params=[True, False], ids=["scripted", "random"])
def shown(game, request):
    """What differs from the background where the ball is alone, `(B, 84, 84)`, and the boxes."""
    frames, ram = played(game, scripted=request.param)
    alone = np.zeros((84, 84), np.bool_)
    alone[BALL_ALONE[game]] = True
    difference = np.abs(frames - np.median(frames, axis=0)) * alone
    return difference * (difference > 4), Ball(game).boxes(ram), alone


def boxes_as_masks(box):
    places = np.arange(84)
    rows = (places >= box[:, :1]) & (places < box[:, 2:3])
    columns = (places >= box[:, 1:2]) & (places < box[:, 3:4])
    return rows[:, :, None] & columns[:, None]


def test_where_it_says_the_ball_is_there_is_one_and_nowhere_else(shown):
    difference, (visible, _, box), alone = shown
    masks = boxes_as_masks(box)
    judged = visible & (masks <= alone).all(axis=(1, 2))
    assert judged.sum() > 400
    inside = np.where(masks, difference, 0)
    assert (inside[judged].max(axis=(1, 2)) > 4).all()
    beside = np.where(masks, 0, difference)[visible].any(axis=(1, 2))
    assert beside.sum() <= 1  # of 1400: the ball may have jumped aside at the paddle's edge


def test_where_it_says_there_is_none_there_is_at_most_the_one_of_the_screen_before(shown):
    difference, (visible, _, _), _ = shown
    assert (~visible).sum() > 20
    assert difference[~visible].any(axis=(1, 2)).mean() < 0.15


def test_the_centre_is_that_of_the_ball_but_for_what_it_moved_between_two_screens(shown):
    difference, (visible, centre, box), alone = shown
    judged = visible & (boxes_as_masks(box) <= alone).all(axis=(1, 2))
    weights = difference[judged] / difference[judged].sum(axis=(1, 2), keepdims=True)
    places = np.arange(84)
    rows, columns = weights.sum(axis=2) @ places, weights.sum(axis=1) @ places
    distance = np.hypot(rows - centre[judged, 0], columns - centre[judged, 1])
    assert np.median(distance) < 0.6
    assert distance.max() < 1.6


def test_boxes_are_small_and_lie_in_the_frame(shown):
    _, (visible, _, box), _ = shown
    assert (box[visible] >= 0).all()
    assert (box[visible] <= 84).all()
    sides = box[visible, 2:] - box[visible, :2]
    assert (sides >= 1).all()
    assert (sides <= (6, 7)).all()


def test_a_worked_example():
    ram = np.zeros((2, 128), np.uint8)
    ram[0, [49, 54]] = 129, 114  # screen: columns 80 and 81, rows 100 to 103
    visible, centre, box = Ball("pong").boxes(ram)
    assert visible.tolist() == [True, False]
    assert centre[0] == pytest.approx([102 / 2.5 - 0.5, 81 * 0.525 - 0.5])
    assert box[0].tolist() == [38, 39, 43, 46]


def test_a_game_without_a_known_ball_gets_a_sentence_that_names_those_with_one():
    assert games_with_ball() == ("breakout", "pong")
    with pytest.raises(UsageError, match=r"seaquest shows a ball; .*: breakout, pong"):
        Ball("seaquest")
