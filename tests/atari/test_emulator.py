from dataclasses import replace

import numpy as np
import pytest

from rlmaster.atari.emulator import Emulator
from rlmaster.atari.environment import AtariEnvironments, environment_seed
from rlmaster.atari.protocols import PROTOCOLS


def area_average(pixels, size, axis):
    """Shrink one axis to `size`; a pixel counts by how much of it lies in the new one."""
    length = pixels.shape[axis]
    scale = length / size
    low = np.arange(size) * scale
    total = 0.0
    for offset in range(int(scale) + 2):
        pixel = low.astype(int) + offset
        overlap = (np.minimum(low + scale, pixel + 1) - np.maximum(low, pixel)).clip(0) / scale
        weights = overlap[:, None] if axis == 0 else overlap
        total = total + np.take(pixels, pixel.clip(max=length - 1), axis) * weights
    return total


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
    emulator.reset(int(step.episode_frames[1]))
    generator = np.random.default_rng(0)
    episodes = 1
    for _ in range(300):
        shrunk = area_average(area_average(emulator.grey(), 84, axis=0), 84, axis=1)
        assert np.abs(shrunk - step.observation[1, -1]).max() <= 1
        actions = generator.integers(environments.num_actions, size=2)
        step = environments.step(actions)
        if step.episode_start[1]:
            emulator.reset(int(step.episode_frames[1]))
            episodes += 1
        else:
            assert emulator.act(int(actions[1])) == step.reward[1]
    assert episodes >= 2


def test_screen_and_ram_have_the_console_s_sizes():
    emulator = Emulator("pong", PROTOCOLS["machado2018"], 1)
    emulator.reset(0)
    assert emulator.screen().shape == (210, 160, 3)
    assert emulator.ram().shape == (128,)
