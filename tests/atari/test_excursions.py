from dataclasses import replace

import numpy as np
import pytest

from rlmaster.atari.emulator import Emulator
from rlmaster.atari.excursions import Explorer, Play, Task, packed, unpacked
from rlmaster.atari.protocols import PROTOCOLS

STICKY = PROTOCOLS["machado2018"]


def play(game="breakout", protocol=STICKY, steps=30):
    return Play(game, protocol, steps, cell_rows=8, cell_columns=11, cell_levels=8)


def start(game="breakout", protocol=STICKY, actions=()):
    emulator = Emulator(game, protocol, 5)
    emulator.reset()
    for action in actions:
        emulator.act(action)
    return packed(emulator.state())


@pytest.mark.parametrize("protocol", [STICKY, replace(PROTOCOLS["classic"], max_episode_frames=60)])
def test_an_excursion_is_what_the_emulator_plays_from_the_state_on(protocol):
    state = start(protocol=protocol, actions=[1, 2, 3])
    (excursion,) = Explorer(play(protocol=protocol)).excursions([Task(state, (1, 2))])
    no_ops_seed = int(np.random.default_rng((1, 2)).integers(2**31))
    emulator = Emulator("breakout", protocol, 9)
    emulator.restore(unpacked(state), no_ops_seed)
    assert excursion.episode_start[0]
    for row in range(31):
        over = row > 0 and (excursion.terminated[row - 1] or excursion.truncated[row - 1])
        if over:
            emulator.reset()
        elif row > 0:
            assert excursion.rewards[row] == emulator.act(int(excursion.actions[row - 1]))
        assert excursion.episode_start[row] == (row == 0 or over)
        assert np.array_equal(excursion.frames[row], emulator.frame())
        assert excursion.terminated[row] == emulator.terminated
        assert excursion.truncated[row] == (emulator.truncated or row == 30)
        assert excursion.lives[row] == emulator.lives
        assert excursion.episode_frames[row] == emulator.episode_frames
    assert excursion.truncated[:30].any() == (protocol is not STICKY)


def test_the_newest_state_of_each_cell_is_remembered():
    explorer, details = Explorer(play("pong")), play("pong")
    excursions = explorer.excursions([Task(start("pong"), (seed,)) for seed in (1, 2)])
    for number, excursion in enumerate(excursions):
        cells = [details.cell(frame) for frame in excursion.frames]
        assert excursion.cells == list(dict.fromkeys(cells))
        states = explorer.states([(number, cell) for cell in excursion.cells])
        for cell, state in zip(excursion.cells, states, strict=True):
            last = max(row for row, there in enumerate(cells) if there == cell)
            assert unpacked(state).frames_played == 4 * last


def test_no_state_is_remembered_in_which_the_episode_is_over():
    protocol = replace(STICKY, max_episode_frames=4)
    explorer, details = Explorer(play(protocol=protocol, steps=3)), play()
    (excursion,) = explorer.excursions([Task(start(protocol=protocol), (1,))])
    assert excursion.truncated.tolist() == [False, True, False, True]
    (state,) = explorer.states([(0, details.cell(excursion.frames[0]))])
    assert unpacked(state).frames_played == 0
