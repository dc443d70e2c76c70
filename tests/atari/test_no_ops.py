from dataclasses import replace

import numpy as np
import pytest

from rlmaster.atari.environment import AtariEnvironments, environment_seed
from rlmaster.atari.no_ops import NoOps
from rlmaster.atari.protocols import PROTOCOLS


def test_they_are_drawn_as_the_environment_draws_them():
    protocol = replace(PROTOCOLS["atari_100k"], max_episode_frames=4)
    environment = AtariEnvironments("pong", protocol, num_environments=1, seed=3)
    drawn = [int(environment.reset().episode_frames[0])]
    while len(drawn) < 300:
        step = environment.step(np.zeros(1, np.int64))
        if step.episode_start[0]:
            drawn.append(int(step.episode_frames[0]))
    no_ops = NoOps(30, environment_seed(3, 0, 0))
    assert drawn == [no_ops.draw() for _ in drawn]


@pytest.mark.parametrize("max_noop_frames", [1, 2, 7, 30])
def test_every_number_is_as_likely(max_noop_frames):
    no_ops = NoOps(max_noop_frames, 1)
    counts = np.bincount([no_ops.draw() for _ in range(3000)], minlength=max_noop_frames)
    assert len(counts) == max_noop_frames
    assert counts == pytest.approx(3000 / max_noop_frames, rel=0.3)


def test_the_mersenne_twister_is_the_one_of_its_authors():
    # Its first number, and the 10,000th that the C++ standard asks for (rand.predef).
    no_ops = NoOps(2**32, 5489)
    drawn = [no_ops.draw() for _ in range(10_000)]
    assert drawn[0] == 3_499_211_612
    assert drawn[-1] == 4_123_659_995


def test_no_frames_are_drawn_where_there_are_none():
    assert [NoOps(0, 5).draw() for _ in range(3)] == [0, 0, 0]
