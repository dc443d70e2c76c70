from dataclasses import replace

import numpy as np
import pytest

from rlmaster.atari.emulator import Emulator
from rlmaster.atari.environment import AtariEnvironments, environment_seed
from rlmaster.atari.excursions import packed, unpacked
from rlmaster.atari.protocols import PROTOCOLS


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"max_episode_frames": 120},
        {"max_episode_frames": 122, "maxpool": False},
    ],
)
def test_it_plays_what_an_environment_plays_over_several_episodes(name, change):
    protocol = replace(PROTOCOLS[name], **change)
    environments = AtariEnvironments("breakout", protocol, num_environments=2, seed=5)
    emulator = Emulator("breakout", protocol, environment_seed(5, 1, 0))
    step = environments.reset()
    emulator.reset()
    generator = np.random.default_rng(0)
    episodes = 1
    for _ in range(300):
        assert np.array_equal(emulator.frame(), step.observation[1, -1])
        assert emulator.lives == step.lives[1]
        assert emulator.terminated == step.terminated[1]
        assert emulator.truncated == step.truncated[1]
        assert emulator.episode_frames == step.episode_frames[1]
        actions = generator.integers(environments.num_actions, size=2)
        step = environments.step(actions)
        if step.episode_start[1]:
            emulator.reset()
            episodes += 1
        else:
            assert emulator.act(int(actions[1])) == step.reward[1]
    assert episodes >= 2


def test_screen_and_ram_have_the_console_s_sizes():
    emulator = Emulator("pong", PROTOCOLS["machado2018"], 1)
    emulator.reset()
    assert emulator.screen().shape == (210, 160, 3)
    assert emulator.ram().shape == (128,)


def seen(emulator, actions):
    """Play, with a new game after each that ends, and return all that there is to see."""
    looks = []
    for action in actions:
        if emulator.terminated or emulator.truncated:
            emulator.reset()
        reward = emulator.act(action)
        ends = (emulator.terminated, emulator.truncated, emulator.lives, emulator.episode_frames)
        looks.append((emulator.grey().tobytes(), emulator.ram().tobytes(), reward, ends))
    return looks


@pytest.mark.parametrize("game", ["pong", "breakout", "seaquest"])
@pytest.mark.parametrize("name", ["machado2018", "classic"])
def test_a_state_gone_on_from_is_the_same_in_any_emulator_whatever_it_did_before(game, name):
    protocol = replace(PROTOCOLS[name], max_episode_frames=700)
    first, second = (Emulator(game, protocol, seed) for seed in (1, 2))
    actions = np.random.default_rng(0).integers(3, size=600).tolist()
    first.reset()
    second.reset()
    for number in range(25):
        seen(first, actions[number : number + 5])
        state = unpacked(packed(first.state()))
        first.restore(state, 7)
        assert first.grey().tobytes() == state.grey.tobytes()
        onwards = seen(first, actions[number : number + 8])
        seen(second, actions[2 * number :][:8])
        second.restore(state, 7)
        assert seen(second, actions[number : number + 8]) == onwards


def test_a_state_is_where_play_went_on_from_without_chance():
    protocol = replace(PROTOCOLS["machado2018"], repeat_action_probability=0.0)
    emulator = Emulator("breakout", protocol, 1)
    emulator.reset()
    actions = np.random.default_rng(0).integers(4, size=400).tolist()
    seen(emulator, actions[:100])
    state = emulator.state()
    onwards = seen(emulator, actions[100:])
    emulator.restore(state, 0)
    assert seen(emulator, actions[100:]) == onwards


def test_a_seed_gives_the_same_episodes_again():
    emulator = Emulator("pong", PROTOCOLS["atari_100k"], 3)
    plays = []
    for seed in (5, 6, 5):
        emulator.seed(seed)
        emulator.reset()
        plays.append(seen(emulator, [2, 3] * 30))
    assert plays[0] == plays[2]
    assert plays[0] != plays[1]
