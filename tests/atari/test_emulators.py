from dataclasses import replace

import numpy as np
import pytest

from rlmaster.atari.emulator import Emulator
from rlmaster.atari.emulators import EmulatorEnvironments
from rlmaster.atari.environment import AtariEnvironments, environment_seed
from rlmaster.atari.protocols import PROTOCOLS

STICKY = PROTOCOLS["machado2018"]


def both(game, protocol, reseed_after_steps=20_000):
    return [
        kind(game, protocol, num_environments=3, seed=4, reseed_after_steps=reseed_after_steps)
        for kind in (AtariEnvironments, EmulatorEnvironments)
    ]


def assert_same(first, second):
    for name, values in vars(first).items():
        answer = getattr(second, name)
        assert np.array_equal(values, answer), name
        assert values.dtype == answer.dtype, name


@pytest.mark.parametrize(
    ("game", "protocol", "reseed_after_steps"),
    [
        ("breakout", replace(PROTOCOLS["classic"], max_episode_frames=200), 60),
        ("breakout", replace(STICKY, maxpool=False, frame_skip=3), 20_000),
        ("ms_pacman", PROTOCOLS["atari_100k"], 20_000),
        ("air_raid", STICKY, 100),  # its first episode starts at another frame than the later ones
        ("pong", replace(STICKY, full_action_space=True, screen_size_pixels=42), 20_000),
    ],
)
def test_they_play_what_the_environments_play(game, protocol, reseed_after_steps):
    environments, emulators = both(game, protocol, reseed_after_steps)
    assert environments.action_meanings == emulators.action_meanings
    generator = np.random.default_rng(0)
    assert_same(environments.reset(), emulators.reset())
    for _ in range(220):
        actions = generator.integers(environments.num_actions, size=3)
        environments.send(actions)
        emulators.send(actions)
        assert_same(environments.recv(), emulators.recv())


def test_they_come_back_to_where_the_environments_were():
    environments, emulators = both("breakout", STICKY, 60)
    actions = np.random.default_rng(1).integers(4, size=(300, 3))
    steps = [environments.reset(), *(environments.step(row) for row in actions)]
    starts = np.stack([step.episode_start for step in steps])
    *_, (row, there, step) = emulators.replay(starts[:300], actions)
    assert row == 300
    assert there.all()
    assert_same(steps[-1], step)


def test_their_memory_is_that_of_the_consoles():
    _, emulators = both("pong", STICKY)
    alone = Emulator("pong", STICKY, environment_seed(4, 2, 0))
    emulators.reset()
    alone.reset()
    for action in [2, 3, 0, 5] * 20:
        emulators.step(np.array([0, 1, action]))
        alone.act(action)
    ram = emulators.ram()
    assert ram.shape == (3, 128)
    assert np.array_equal(ram[2], alone.ram())
    assert not np.array_equal(ram[0], ram[2])


def test_what_was_answered_stays_as_it_is():
    _, emulators = both("pong", STICKY)
    step = emulators.reset()
    kept = step.observation.copy()
    emulators.step(np.zeros(3, np.int64))
    assert np.array_equal(step.observation, kept)
