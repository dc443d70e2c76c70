from dataclasses import replace

import numpy as np
import pytest
import torch

from rlmaster.atari.collection import RandomPolicy, collect
from rlmaster.atari.environment import AtariEnvironments
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.experiment import RandomFrames
from rlmaster.replay.frame_store import NO_ACTION, FrameStore
from rlmaster.specification import resolve

SHORT_EPISODES = replace(PROTOCOLS["classic"], max_episode_frames=28)


def collected(protocol=PROTOCOLS["machado2018"], steps=400, seed=1, threads=2, progress=None):
    environments = AtariEnvironments(
        "breakout", protocol, num_environments=3, seed=seed, num_threads=threads
    )
    policy = RandomPolicy(RandomFrames(), num_actions=environments.num_actions, seed=seed)
    store = FrameStore(3)
    collect(environments, policy, store, steps, progress)
    return store


def test_the_specification_names_its_policy():
    assert resolve(RandomFrames.builds) is RandomPolicy


def test_a_random_policy_uses_every_action_alike_and_repeats_itself_from_its_seed():
    observation = np.zeros((10, 4, 84, 84), np.uint8)
    first, second, other = (
        RandomPolicy(RandomFrames(), num_actions=6, seed=seed) for seed in (1, 1, 2)
    )
    actions = np.stack([first.actions(observation) for _ in range(600)])
    assert actions.dtype == np.int64
    assert np.bincount(actions.ravel(), minlength=6) == pytest.approx(1000, rel=0.15)
    assert np.array_equal(actions, [second.actions(observation) for _ in range(600)])
    assert not np.array_equal(actions, [other.actions(observation) for _ in range(600)])


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
    first, second = collected(threads=1), collected(threads=2)
    for name in ("actions", "rewards", "terminated", "life_lost", "episode_start"):
        filled = slice(0, first.num_rows)
        assert np.array_equal(getattr(first, name)[filled], getattr(second, name)[filled])
    assert torch.equal(first.frames[: first.num_rows], second.frames[: second.num_rows])
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
