import subprocess
import sys
from dataclasses import replace
from importlib import resources
from itertools import pairwise

import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv

from rlmaster.atari.environment import AtariEnvironments, environment_seed, last_seedings
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.experiment import atari_games

STICKY = PROTOCOLS["machado2018"]


def play(environments, actions):
    """Reset and play; one Step more than rows of actions."""
    return [environments.reset(), *(environments.step(row) for row in actions)]


def random_actions(num_steps, num_environments, seed=0):
    return np.random.default_rng(seed).integers(4, size=(num_steps, num_environments))


def observations(steps, environment=slice(None)):
    return np.stack([step.observation[environment] for step in steps])


def make(game="breakout", protocol=STICKY, num_environments=1, seed=1, **options):
    return AtariEnvironments(
        game, protocol, num_environments=num_environments, seed=seed, **options
    )


def test_frames_depend_on_seed_and_actions_whatever_the_number_of_threads():
    actions = random_actions(300, 4)
    runs = [play(make(num_environments=4, num_threads=threads), actions) for threads in (1, 2, 4)]
    for run in runs[1:]:
        assert np.array_equal(observations(run), observations(runs[0]))
        assert all(np.array_equal(a.reward, b.reward) for a, b in zip(run, runs[0], strict=True))
    other_seed = play(make(num_environments=4, seed=2), actions)
    assert not np.array_equal(observations(other_seed), observations(runs[0]))


def test_an_environment_does_not_depend_on_its_neighbours_even_when_they_are_seeded_anew():
    actions = random_actions(500, 3)
    three = play(make(num_environments=3, reseed_after_steps=100), actions)
    one = play(make(num_environments=1, reseed_after_steps=100), actions[:, :1])
    assert np.array_equal(observations(three, 0), observations(one, 0))


def test_an_environment_is_seeded_anew_by_the_first_episode_after_enough_steps():
    actions = random_actions(700, 3)
    steps = play(make(num_environments=3, reseed_after_steps=150), actions)
    starts = np.stack([step.episode_start for step in steps])
    seeded_rows = [np.flatnonzero(starts[:, e] & (np.arange(701) > 150))[0] for e in range(3)]
    assert len(set(seeded_rows)) == 3

    fresh = make(num_environments=3)
    fresh.reset()
    length = 701 - max(seeded_rows)
    shifted = [
        [actions[row + i, e] for e, row in enumerate(seeded_rows)] for i in range(length - 1)
    ]
    again = play(fresh, np.array(shifted))  # its second reset seeds for the second time
    same_length = min(
        [length, *(np.flatnonzero(starts[r + 1 :, e])[0] for e, r in enumerate(seeded_rows))]
    )
    assert same_length > 50
    for environment, row in enumerate(seeded_rows):
        seen = observations(steps[row : row + same_length], environment)
        assert np.array_equal(seen, observations(again[:same_length], environment))


@pytest.mark.parametrize("reseed_after_steps", [20_000, 0, 30])
def test_an_episode_starts_right_after_one_ends_and_nowhere_else(reseed_after_steps):
    protocol = replace(PROTOCOLS["classic"], max_episode_frames=100)
    environments = make("breakout", protocol, 3, reseed_after_steps=reseed_after_steps)
    steps = play(environments, random_actions(120, 3))
    assert steps[0].episode_start.all()
    assert sum(step.truncated.sum() for step in steps) >= 9
    for before, step in pairwise(steps):
        assert np.array_equal(step.episode_start, before.ended)
        assert not (step.episode_start & (step.ended | step.life_lost)).any()
        assert (step.reward[step.episode_start] == 0).all()
        assert not step.observation[step.episode_start, :-1].any()
        assert step.observation[:, -1].any(axis=(1, 2)).all()
        going_on = ~step.episode_start
        shifted = before.observation[going_on, 1:]
        assert np.array_equal(step.observation[going_on, :-1], shifted)


def test_an_episode_is_truncated_after_its_frames_not_counting_no_ops():
    protocol = replace(PROTOCOLS["classic"], max_episode_frames=40)
    steps = play(make("pong", protocol), np.zeros((11, 1), np.int64))
    assert [bool(step.truncated[0]) for step in steps] == [False] * 10 + [True, False]
    assert not any(step.terminated[0] for step in steps)
    assert steps[10].episode_frames[0] - steps[0].episode_frames[0] == 40


def test_a_lost_life_is_what_the_emulator_would_call_one_and_the_game_goes_on():
    classic = PROTOCOLS["classic"]
    actions = random_actions(600, 2)
    steps = play(make("breakout", classic, 2), actions)[1:]
    theirs = AtariVectorEnv(
        "breakout", 2, frameskip=4, noop_max=30, use_fire_reset=True, life_loss_info=True
    )
    theirs.reset(seed=np.array([environment_seed(1, e, 0) for e in range(2)]))
    signals = np.stack([theirs.step(row)[2] for row in actions])

    lost = np.stack([step.life_lost for step in steps])
    over = np.stack([step.terminated for step in steps])
    assert np.array_equal(lost | over, signals)
    assert (lost & ~over).sum() > 4
    assert over.sum() > 1
    lives = np.stack([step.lives for step in steps])
    assert (lives[over] == 0).all()
    assert (lives[lost & ~over] > 0).all()


def test_sticky_actions_are_the_only_source_of_chance_where_there_are_no_no_ops():
    actions = random_actions(200, 1)
    dull = replace(STICKY, repeat_action_probability=0.0)
    seen = {
        (protocol.repeat_action_probability, seed): observations(
            play(make("pong", protocol, seed=seed), actions)
        )
        for protocol in (STICKY, dull)
        for seed in (1, 2)
    }
    assert np.array_equal(seen[0.0, 1], seen[0.0, 2])
    assert not np.array_equal(seen[0.25, 1], seen[0.25, 2])
    assert not np.array_equal(seen[0.25, 1], seen[0.0, 1])


def test_no_ops_vary_the_start_where_the_protocol_has_them():
    waits = make("pong", PROTOCOLS["atari_100k"], 12).reset().episode_frames
    assert len(set(waits.tolist())) > 5
    assert waits.max() <= 30
    assert not make("pong", STICKY, 4).reset().episode_frames.any()


def test_fire_at_reset_sets_the_ball_in_motion():
    nothing = np.zeros((20, 1), np.int64)
    moving, waiting = (
        play(make("breakout", replace(STICKY, fire_at_reset=fire)), nothing)[-1].observation[0]
        for fire in (True, False)
    )
    assert np.array_equal(waiting[0], waiting[3])
    assert not np.array_equal(moving[0], moving[3])


@pytest.mark.parametrize(
    "change", [{"maxpool": False}, {"frame_skip": 2}, {"screen_size_pixels": 42}]
)
def test_every_option_changes_what_is_seen(change):
    actions = random_actions(100, 1)
    usual = observations(play(make("seaquest"), actions))
    changed = observations(play(make("seaquest", replace(STICKY, **change)), actions))
    assert not np.array_equal(usual, changed)


def test_stack_and_action_set_follow_the_protocol():
    environments = make(protocol=replace(STICKY, stacked_frames=2, full_action_space=True))
    assert environments.num_actions == 18
    assert environments.reset().observation.shape == (1, 2, 84, 84)
    assert make().action_meanings == ("NOOP", "FIRE", "RIGHT", "LEFT")


def test_rewards_are_raw():
    steps = play(make("ms_pacman"), random_actions(120, 1))
    assert max(step.reward[0] for step in steps) >= 10
    assert all(step.reward.dtype == np.float32 for step in steps)


def test_seeds_differ_between_runs_environments_and_times():
    seeds = {environment_seed(r, e, t) for r in range(9) for e in range(9) for t in range(9)}
    assert len(seeds) == 9**3
    assert all(0 <= seed < 2**31 for seed in seeds)


SHORT_LIVES = replace(PROTOCOLS["classic"], max_episode_frames=200)


@pytest.mark.parametrize(
    ("protocol", "reseed_after_steps"), [(STICKY, 20_000), (STICKY, 60), (SHORT_LIVES, 60)]
)
def test_environments_come_back_to_where_they_were_and_go_on_alike(protocol, reseed_after_steps):
    actions = random_actions(260, 3)
    steps = play(make("breakout", protocol, 3, reseed_after_steps=reseed_after_steps), actions)
    starts = np.stack([step.episode_start for step in steps])
    for num_rows in (1, 137, 220):
        again = make("breakout", protocol, 3, reseed_after_steps=reseed_after_steps)
        replayed = list(again.replay(starts[:num_rows], actions[:num_rows].astype(np.int8)))
        rows = [row for row, _, _ in replayed]
        assert rows == list(range(rows[0], num_rows + 1))
        for row, there, step in replayed:
            assert np.array_equal(step.observation[there], steps[row].observation[there])
        _, there, step = replayed[-1]
        assert there.all()
        following = [step, *(again.step(row) for row in actions[num_rows:])]
        for seen, was in zip(following, steps[num_rows:], strict=True):
            for name, values in vars(was).items():
                assert np.array_equal(getattr(seen, name), values), name


def test_nothing_played_comes_back_as_a_reset():
    ((row, there, step),) = make(num_environments=2).replay(
        np.empty((0, 2), np.bool_), np.empty((0, 2), np.int8)
    )
    assert row == 0
    assert there.all()
    assert np.array_equal(step.observation, make(num_environments=2).reset().observation)


def test_the_last_seedings_are_those_that_were_done():
    environments = make("breakout", SHORT_LIVES, 3, reseed_after_steps=60)
    steps = play(environments, random_actions(300, 3))
    starts = np.stack([step.episode_start for step in steps])
    rows, times = last_seedings(starts, 60)
    assert (times + 1).tolist() == environments._times_seeded.tolist()
    assert (300 - rows).tolist() == environments._steps_since_seeding.tolist()


def test_only_games_that_cannot_be_loaded_are_left_out():
    roms = resources.files("ale_py").joinpath("roms").iterdir()
    carried = {rom.name.removesuffix(".bin") for rom in roms if rom.name.endswith(".bin")}
    left_out = carried - set(atari_games())
    assert left_out == {"combat", "joust", "maze_craze", "warlords"}
    for game in sorted(left_out):
        load = f"from ale_py.vector_env import AtariVectorEnv; AtariVectorEnv({game!r}, 1)"
        ended = subprocess.run([sys.executable, "-c", load], capture_output=True, check=False)
        assert ended.returncode != 0
        assert b"Attempt to wrap ROM" in ended.stderr
