import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rlmaster.atari.emulator import Emulator
from rlmaster.atari.environment import AtariEnvironments, environment_seed
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.atari.screen import shrink


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


# Games in which other ways to add up differ in some pixels, and games with taller screens.
@pytest.mark.parametrize("game", ["ms_pacman", "qbert", "seaquest", "air_raid", "carnival"])
def test_every_pixel_is_the_one_that_the_environment_shows(game):
    protocol = PROTOCOLS["machado2018"]
    environment = AtariEnvironments(game, protocol, num_environments=1, seed=5)
    emulator = Emulator(game, protocol, environment_seed(5, 0, 0))
    step = environment.reset()
    emulator.reset()
    generator = np.random.default_rng(0)
    for _ in range(150):
        assert np.array_equal(emulator.frame(), step.observation[0, -1])
        action = generator.integers(environment.num_actions, size=1)
        step = environment.step(action)
        if step.episode_start[0]:
            emulator.reset()
        else:
            emulator.act(int(action[0]))


@given(
    grey=arrays(np.uint8, st.tuples(st.integers(84, 260), st.integers(84, 170))),
    height=st.integers(1, 84),
    width=st.integers(1, 84),
)
def test_it_is_the_average_of_areas(grey, height, width):
    exact = area_average(area_average(grey, height, axis=0), width, axis=1)
    assert np.abs(shrink(grey, height, width) - exact).max() <= 0.5 + 1e-3


def test_screens_are_shrunk_alike_side_by_side():
    greys = np.random.default_rng(0).integers(256, size=(2, 3, 210, 160), dtype=np.uint8)
    together = shrink(greys)
    assert together.shape == (2, 3, 84, 84)
    assert np.array_equal(together[1, 2], shrink(greys[1, 2]))


def test_a_worked_example():
    grey = np.array([[0, 30, 60], [90, 120, 150]], np.uint8)
    assert shrink(grey, 1, 2).tolist() == [[55, 95]]
    assert shrink(grey, 2, 3).tolist() == grey.tolist()
