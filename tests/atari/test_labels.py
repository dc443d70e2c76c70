from dataclasses import replace

import numpy as np
import pytest

from rlmaster.atari import labels as labels_of
from rlmaster.atari.collection import collect, explore
from rlmaster.atari.emulator import Emulator
from rlmaster.atari.emulators import EmulatorEnvironments
from rlmaster.atari.environment import AtariEnvironments, environment_seed
from rlmaster.atari.excursions import Play
from rlmaster.atari.exploration import Exploration
from rlmaster.atari.labels import label_environment, label_explored, label_frames
from rlmaster.atari.policies import RandomPolicy
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.errors import TrainingError
from rlmaster.replay.frame_store import FrameStore

SHORT_EPISODES = replace(PROTOCOLS["classic"], max_episode_frames=80)


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


def exploration(seed=1):
    play = Play("breakout", SHORT_EPISODES, 7, cell_rows=8, cell_columns=11, cell_levels=8)
    return Exploration(play, num_streams=2, max_cells=100, seed=seed)


def explored():
    """Return what 80 steps of an exploration show, and the memory that it saw on the way."""
    store, memory = FrameStore(2), []
    with exploration() as explorer:
        explore(explorer, store, 80)
    with exploration() as explorer:
        while len(memory) < store.num_rows:
            memory += [ram for _, _, ram in explorer.play_round()]
    return store, np.stack(memory)


def test_labels_of_an_exploration_are_the_memory_that_its_excursions_saw():
    store, memory = explored()
    told = []
    for num_rows in (store.num_rows, store.num_rows - 3):  # which ends within a round
        with exploration() as again:
            labels = label_explored(
                again,
                store.episode_start[:num_rows],
                store.frames_of_row,
                lambda *progress: told.append(progress),
            )
        assert np.array_equal(labels, memory[:num_rows])
        assert told[-1] == (num_rows, num_rows)
    assert len(np.unique(memory[:, 0], axis=0)) > 10  # as play goes on, the memory changes


def test_an_exploration_that_shows_other_frames_is_noticed():
    store, _ = explored()
    starts = store.episode_start[: store.num_rows]
    with exploration(seed=2) as another, pytest.raises(TrainingError, match="is not what this"):
        label_explored(another, starts, store.frames_of_row)


def played_and_remembered(reseed_after_steps):
    """Return what two environments showed, and the memory of emulators that played the same."""
    arguments = {"num_environments": 2, "seed": 1, "reseed_after_steps": reseed_after_steps}
    environments = AtariEnvironments("breakout", SHORT_EPISODES, **arguments)
    store = FrameStore(2)
    policy = RandomPolicy(num_actions=environments.num_actions, seed=1)
    collect(environments, policy, store, 400)
    emulators = EmulatorEnvironments("breakout", SHORT_EPISODES, **arguments)
    memory, step = [], emulators.reset()
    for row in range(store.num_rows):
        assert np.array_equal(step.observation[:, -1], store.frames_of_row(row))
        memory.append(emulators.ram())
        step = emulators.step(np.maximum(store.actions[row], 0).astype(np.int64))
    return store, np.stack(memory)


@pytest.mark.parametrize("reseed_after_steps", [30, 20_000])
def test_an_environment_is_labelled_alone_from_its_last_seeding_on(monkeypatch, reseed_after_steps):
    monkeypatch.setattr(labels_of, "RESEED_AFTER_STEPS", reseed_after_steps)
    store, memory = played_and_remembered(reseed_after_steps)

    def labelled_alone(episode, told):
        rows, played = slice(episode.first_row, episode.stop_row), slice(0, episode.stop_row)
        return label_environment(
            "breakout",
            SHORT_EPISODES,
            1,
            episode.environment,
            store.episode_start[played],
            store.actions[played],
            store.frames[rows, episode.environment].numpy(),
            lambda *progress: told.append(progress),
        )

    played_rows = []
    for episode in store.episodes():
        told = []
        own = memory[episode.first_row : episode.stop_row, episode.environment]
        assert np.array_equal(labelled_alone(episode, told), own)
        assert told[-1][0] == told[-1][1]
        played_rows.append(told[-1][1])
    assert (max(played_rows) < 100) == (reseed_after_steps == 30)

    last = store.episodes()[-1]
    store.frames[last.first_row + 2, last.environment, 40, 40] ^= 1
    message = f"row {last.first_row + 2} of environment {last.environment} is not what"
    with pytest.raises(TrainingError, match=message):
        labelled_alone(last, [])
