from types import SimpleNamespace

import numpy as np
import pytest

from rlmaster.atari import policies
from rlmaster.atari.emulators import EmulatorEnvironments
from rlmaster.atari.policies import (
    RandomPolicy,
    ScriptedPolicy,
    WithRandomActions,
    scripted_games,
)
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.errors import UsageError


def seen(num_environments):
    """Return a step of which only the number of environments matters."""
    return SimpleNamespace(reward=np.zeros(num_environments))


class Always:
    """Chooses one action and needs no memory."""

    needs_ram = False

    def __init__(self, action):
        self.action = action
        self.skipped = []

    def actions(self, step, ram):
        return np.full(len(step.reward), self.action)

    def skip(self, steps, num_environments):
        self.skipped.append((steps, num_environments))


def test_a_random_policy_uses_every_action_alike_and_repeats_itself_from_its_seed():
    first, second, other = (RandomPolicy(num_actions=6, seed=seed) for seed in (1, 1, 2))
    actions = np.stack([first.actions(seen(10)) for _ in range(600)])
    assert actions.dtype == np.int64
    assert np.bincount(actions.ravel(), minlength=6) == pytest.approx(1000, rel=0.15)
    assert np.array_equal(actions, [second.actions(seen(10)) for _ in range(600)])
    assert not np.array_equal(actions, [other.actions(seen(10)) for _ in range(600)])


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_a_share_of_the_actions_is_replaced_by_uniform_ones(share):
    policy = WithRandomActions(Always(7), share, num_actions=6, seed=1)
    actions = np.stack([policy.actions(seen(10), None) for _ in range(1200)])
    assert actions.dtype == np.int64
    assert (actions != 7).mean() == pytest.approx(share, abs=0.02)
    drawn = np.bincount(actions[actions != 7], minlength=6)
    assert len(drawn) == 6
    assert drawn == pytest.approx(2000 * share, rel=0.15)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomPolicy(num_actions=6, seed=1),
        lambda: WithRandomActions(RandomPolicy(num_actions=6, seed=1), 0.5, num_actions=6, seed=1),
    ],
)
def test_a_policy_that_skips_is_where_it_would_be(make, monkeypatch):
    monkeypatch.setattr(policies, "SKIPPED_AT_ONCE", 7)
    first, second = make(), make()
    for _ in range(40):
        first.actions(seen(3), None)
    second.skip(40, 3)
    assert np.array_equal(first.actions(seen(3), None), second.actions(seen(3), None))


def test_the_other_policy_skips_too():
    always = Always(0)
    WithRandomActions(always, 0.5, num_actions=6, seed=1).skip(3, 2)
    assert always.skipped == [(3, 2)]


@pytest.mark.parametrize("full_action_space", [False, True])
def test_a_script_follows_the_ball(full_action_space):
    meanings = ("NOOP", "FIRE", "RIGHT", "LEFT")
    if full_action_space:
        meanings = ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN")
    ram = np.zeros((4, 128), np.uint8)
    ram[:, 72], ram[:, 99], ram[:, 101] = 100, [150, 60, 108, 150], [90, 90, 90, 0]
    breakout = ScriptedPolicy("breakout", meanings)
    chosen = breakout.actions(seen(4), ram)
    assert [meanings[action] for action in chosen] == ["RIGHT", "LEFT", "NOOP", "FIRE"]
    ram[:, 51], ram[:, 54] = 100, [150, 60, 108, 116]
    pong = ScriptedPolicy("pong", meanings)
    chosen = pong.actions(seen(4), ram)
    assert [meanings[action] for action in chosen] == ["LEFT", "RIGHT", "NOOP", "NOOP"]


def reward_of(environments, policy, steps):
    """Return the mean reward of some environments over some steps."""
    step, reward = environments.reset(), 0.0
    for _ in range(steps):
        step = environments.step(policy.actions(step, environments.ram()))
        reward += float(step.reward.mean())
    return reward


@pytest.mark.parametrize(("game", "steps", "lead"), [("pong", 250, 3), ("breakout", 400, 4)])
def test_a_script_plays_visibly_better_than_chance(game, steps, lead):
    environments = EmulatorEnvironments(game, PROTOCOLS["machado2018"], num_environments=4, seed=1)
    by_script = ScriptedPolicy(game, environments.action_meanings)
    by_chance = RandomPolicy(num_actions=environments.num_actions, seed=1)
    ahead = reward_of(environments, by_script, steps) - reward_of(environments, by_chance, steps)
    assert ahead > lead


def test_a_game_without_a_script_gets_a_sentence_that_names_those_with_one():
    assert scripted_games() == ("breakout", "pong")
    with pytest.raises(UsageError, match="for seaquest, only for breakout and pong"):
        ScriptedPolicy("seaquest", ())


def test_a_script_needs_the_memory():
    with pytest.raises(ValueError, match="play EmulatorEnvironments"):
        ScriptedPolicy("pong", ()).actions(seen(1), None)
