from dataclasses import replace

import numpy as np
import pytest
import torch

from rlmaster.atari import collection
from rlmaster.atari.collection import collect, explore, is_collected, play_again
from rlmaster.atari.emulators import EmulatorEnvironments
from rlmaster.atari.environment import AtariEnvironments
from rlmaster.atari.excursions import Play
from rlmaster.atari.exploration import Exploration
from rlmaster.atari.policies import RandomPolicy, ScriptedPolicy, WithRandomActions
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.replay.frame_store import NO_ACTION, ROW_ARRAYS, FrameStore

SHORT_EPISODES = replace(PROTOCOLS["classic"], max_episode_frames=28)


def players(protocol=PROTOCOLS["machado2018"], seed=1, threads=2):
    environments = AtariEnvironments(
        "breakout", protocol, num_environments=3, seed=seed, num_threads=threads
    )
    return environments, RandomPolicy(num_actions=environments.num_actions, seed=seed)


def collected(protocol=PROTOCOLS["machado2018"], steps=400, seed=1, threads=2, progress=None):
    store = FrameStore(3)
    collect(*players(protocol, seed, threads), store, steps, progress)
    return store


def cut_after(store, rows):
    """Return a store of the first rows of another."""
    cut = FrameStore(3, capacity_rows=rows)
    cut.keep_rows(0, store.rows_between(0, rows))
    cut.num_rows = rows
    return cut


def assert_equal(first, second):
    assert first.num_rows == second.num_rows
    filled = slice(0, first.num_rows)
    for name in ROW_ARRAYS:
        assert np.array_equal(getattr(first, name)[filled], getattr(second, name)[filled])
    assert torch.equal(first.frames[filled], second.frames[filled])


@pytest.mark.parametrize("protocol", [PROTOCOLS["machado2018"], SHORT_EPISODES])
def test_steps_are_counted_without_those_whose_action_is_ignored(protocol):
    told = []
    store = collected(protocol, progress=lambda *progress: told.append(progress))
    assert 400 <= store.num_steps < 403
    assert told[-1] == (store.num_steps, 400)
    assert told == sorted(told)
    episodes = store.episodes()
    assert store.num_frames == store.num_steps + len(episodes)
    assert sum(len(episode) for episode in episodes) == store.num_frames


def test_an_episode_of_n_actions_takes_n_plus_1_rows():
    store = collected(SHORT_EPISODES)
    ended = [episode for episode in store.episodes() if episode.ended]
    assert len(ended) > 20
    for episode in ended:
        rows = slice(episode.first_row, episode.stop_row)
        actions = store.actions[rows, episode.environment]
        assert len(actions) == 8
        assert (actions[:-1] != NO_ACTION).all()
        assert actions[-1] == NO_ACTION
        assert store.truncated[rows, episode.environment].tolist() == [False] * 6 + [True, False]


def test_collection_is_deterministic_in_its_seed():
    first = collected(threads=1)
    assert_equal(first, collected(threads=2))
    other = collected(seed=2)
    assert not np.array_equal(first.actions[:100], other.actions[:100])


@pytest.mark.parametrize("protocol", [PROTOCOLS["machado2018"], SHORT_EPISODES])
def test_a_stack_from_the_store_is_what_the_policy_saw(protocol):
    environments = AtariEnvironments("breakout", protocol, num_environments=3, seed=3)
    store = FrameStore(3, capacity_rows=300)
    generator = np.random.default_rng(0)
    step, seen = environments.reset(), []
    for _ in range(300):
        actions = generator.integers(4, size=3)
        store.append(step, actions)
        seen.append(step.observation)
        step = environments.step(actions)
    stacks = store.stack_at(np.arange(store.num_frames))
    assert np.array_equal(stacks.numpy(), np.concatenate(seen))


@pytest.mark.parametrize("protocol", [PROTOCOLS["machado2018"], SHORT_EPISODES])
@pytest.mark.parametrize("rows", [0, 60, 134])
def test_a_collection_that_was_cut_goes_on_as_if_it_had_not_been(protocol, rows):
    whole = collected(protocol)
    store, again, told = cut_after(whole, rows), players(protocol), []
    after = play_again(*again, store, lambda *progress: told.append(progress))
    collect(*again, store, 400, after=after)
    assert_equal(store, whole)
    assert told == [(row, rows) for row in range(rows + 1)]


def test_frames_that_do_not_come_again_are_noticed():
    store = cut_after(collected(), 60)
    store.frames[30, 2, 5, 5] ^= 1
    assert play_again(*players(), store) is None
    assert play_again(*players(seed=2), cut_after(collected(), 60)) is None


@pytest.mark.parametrize("protocol", [PROTOCOLS["machado2018"], SHORT_EPISODES])
def test_only_a_store_with_the_row_after_the_last_step_is_collected(protocol):
    whole = collected(protocol)
    assert is_collected(whole, 400)
    assert not is_collected(cut_after(whole, whole.num_rows - 1), 400)
    assert not is_collected(whole, whole.num_steps + 1)
    assert not is_collected(FrameStore(3), 400)


def test_a_store_that_is_full_already_grows(monkeypatch):
    whole = collected()
    monkeypatch.setattr(collection, "rows_for", lambda *_: 0)
    store, again = cut_after(whole, 60), players()
    assert store.num_rows == store.capacity_rows
    collect(*again, store, 400, after=play_again(*again, store))
    assert_equal(store, whole)


def agents(protocol=PROTOCOLS["machado2018"]):
    environments = EmulatorEnvironments("breakout", protocol, num_environments=3, seed=1)
    script = ScriptedPolicy("breakout", environments.action_meanings)
    return environments, WithRandomActions(script, 0.2, num_actions=4, seed=1)


def test_a_policy_that_reads_the_memory_goes_on_where_it_was_cut():
    whole = FrameStore(3)
    collect(*agents(), whole, 400)
    store, again = cut_after(whole, 60), agents()
    collect(*again, store, 400, after=play_again(*again, store))
    assert_equal(store, whole)


def test_a_policy_that_reads_the_memory_plays_only_where_there_is_one():
    _, policy = agents()
    with pytest.raises(TypeError, match="let it play EmulatorEnvironments"):
        collect(players()[0], policy, FrameStore(3), 100)


def test_rounds_are_explored_until_there_are_enough_steps():
    play = Play("breakout", SHORT_EPISODES, 12, cell_rows=8, cell_columns=11, cell_levels=8)
    store, told, complete = FrameStore(3), [], []
    with Exploration(play, num_streams=3, max_cells=100, seed=1) as exploration:
        explore(
            exploration,
            store,
            80,
            lambda *progress: told.append(progress),
            lambda: complete.append(store.num_rows),
        )
    assert complete == [13, 26, 39]
    assert told[-1] == (store.num_steps, 80)
    assert 80 <= store.num_steps < 80 + 3 * 12
    assert store.num_frames == store.num_steps + len(store.episodes())
    assert all(episode.ended or len(episode) == 1 for episode in store.episodes())
    assert (store.actions[12:39:13] == NO_ACTION).all()
    assert store.episode_start[0:39:13].all()
