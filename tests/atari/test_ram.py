from dataclasses import replace

import numpy as np
import pytest

from rlmaster.atari.collection import collect
from rlmaster.atari.emulator import Emulator
from rlmaster.atari.environment import AtariEnvironments, environment_seed
from rlmaster.atari.policies import RandomPolicy
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.atari.ram import games_with_ram, label_frames, ram_variables
from rlmaster.errors import TrainingError, UsageError
from rlmaster.experiment import atari_games
from rlmaster.replay.frame_store import FrameStore

SHORT_EPISODES = replace(PROTOCOLS["classic"], max_episode_frames=80)


def test_the_table_names_bytes_of_games_as_we_spell_them():
    assert ram_variables("pong")["ball_x"] == 49
    assert ram_variables("ms_pacman")["player_x"] == 10
    games = games_with_ram()
    assert len(games) == 24
    assert set(games) <= set(atari_games())
    for game in games:
        assert all(0 <= byte < 128 for byte in ram_variables(game).values())


def test_a_game_that_nobody_annotated_gets_a_sentence_that_names_those_that_are():
    with pytest.raises(UsageError, match=r"air_raid's memory mean; .*asteroids, battle_zone"):
        ram_variables("air_raid")


def collected(protocol):
    environments = AtariEnvironments("breakout", protocol, num_environments=2, seed=1)
    store = FrameStore(2)
    policy = RandomPolicy(num_actions=environments.num_actions, seed=1)
    collect(environments, policy, store, 240)
    return store


def labelled(store, protocol, **changed):
    rows = slice(0, store.num_rows)
    arguments = {
        "game": "breakout",
        "protocol": protocol,
        "seed": 1,
        "episode_start": store.episode_start[rows],
        "actions": store.actions[rows],
        "frames_of_row": store.frames_of_row,
    }
    return label_frames(**arguments | changed)


@pytest.mark.parametrize("protocol", [PROTOCOLS["machado2018"], SHORT_EPISODES])
def test_labels_are_the_memory_behind_the_frames(protocol):
    store, told = collected(protocol), []
    labels = labelled(store, protocol, on_progress=lambda *progress: told.append(progress))
    assert labels.shape == (store.num_rows, 2, 128)
    assert told[-1] == (store.num_rows, store.num_rows)
    for environment in range(2):
        emulator = Emulator("breakout", protocol, environment_seed(1, environment, 0))
        for row in range(store.num_rows):
            if store.episode_start[row, environment]:
                emulator.reset()
            else:
                emulator.act(int(store.actions[row - 1, environment]))
            assert np.array_equal(labels[row, environment], emulator.ram())


@pytest.mark.parametrize("row", [0, 57])
def test_a_frame_that_was_not_played_so_is_named(row):
    store = collected(SHORT_EPISODES)
    store.frames[row, 1, 40, 40] ^= 1
    with pytest.raises(TrainingError, match=f"row {row} of environment 1 is not what"):
        labelled(store, SHORT_EPISODES)


def test_other_actions_or_starts_are_noticed():
    store = collected(SHORT_EPISODES)
    with pytest.raises(TrainingError, match="is not what this emulator shows"):
        labelled(store, SHORT_EPISODES, seed=2)
    starts = store.episode_start[: store.num_rows].copy()
    starts[5, 0] = True
    with pytest.raises(TrainingError, match="row 5 of environment 0"):
        labelled(store, SHORT_EPISODES, episode_start=starts)
