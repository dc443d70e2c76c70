"""The action log: environments come back to what they showed, at any moment, and play on alike."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rlmaster.atari.action_log import ActionLog
from rlmaster.atari.environment import AtariEnvironments, Step
from rlmaster.atari.protocols import PROTOCOLS

EPISODE_STEPS = 150
RESEED_AFTER_STEPS = 160
ACTIONS = np.random.default_rng(1).integers(3, size=(400, 2))

State = dict[str, NDArray[Any]]


def environments(game: str, protocol: str) -> AtariEnvironments:
    """Return two that are often seeded anew: each when a game of its own is over."""
    short = replace(PROTOCOLS[protocol], max_episode_frames=4 * EPISODE_STEPS)
    return AtariEnvironments(
        game, short, num_environments=2, seed=5, reseed_after_steps=RESEED_AFTER_STEPS
    )


def played(
    playing: AtariEnvironments, log: ActionLog, step: Step, first: int = 0, most: int = 999
) -> Iterator[tuple[Step, State]]:
    """Yield what is shown, and the log's state, before each of the actions from one on."""
    for actions in ACTIONS[first : first + most]:
        yield step, log.state()
        playing.send(actions)
        log.add(actions)
        step = playing.recv()


def assert_same_step(one: Step, other: Step) -> None:
    for field in fields(Step):
        assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name


def assert_same_state(one: State, other: State) -> None:
    assert one.keys() == other.keys()
    assert all(np.array_equal(values, other[name]) for name, values in one.items())


@pytest.mark.parametrize(("game", "protocol"), [("breakout", "classic"), ("pong", "machado2018")])
def test_environments_come_back_at_any_moment_and_play_on_alike(game: str, protocol: str) -> None:
    playing = environments(game, protocol)
    log = ActionLog(playing, EPISODE_STEPS)
    whole = list(played(playing, log, playing.reset()))
    ends = np.flatnonzero([step.ended.any() for step, _ in whole]).tolist()
    seeded = [state["steps_since_seeding"] for _, state in whole]
    assert max(map(np.max, seeded)) > RESEED_AFTER_STEPS  # which is what the log must hold
    if game == "breakout":
        assert any(len(set(since.tolist())) > 1 for since in seeded)
    # As new, while one is over, and when it has just begun anew.
    for moment in (0, ends[1], ends[-1] + 1):
        other = environments(game, protocol)
        later = ActionLog(other, EPISODE_STEPS)
        shown = later.restore(whole[moment][1])
        assert np.array_equal(shown.observation, whole[moment][0].observation)
        for (step, state), (same, its) in zip(
            list(played(other, later, shown, moment, 60))[1:], whole[moment + 1 :], strict=False
        ):
            assert_same_step(step, same)
            assert_same_state(state, its)
