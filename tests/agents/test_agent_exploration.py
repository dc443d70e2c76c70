"""Schedules of a run, at the points that its fields name, and random actions among greedy ones."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlmaster.agent_choices import Rainbow, ValueAgent
from rlmaster.agents.exploration import (
    exploration_share,
    importance_exponent,
    with_random_actions,
)

AGENT = ValueAgent(
    warm_up_steps=100,
    exploration_start=0.8,
    exploration_end=0.2,
    exploration_steps=60,
    importance_exponent=0.4,
)


@pytest.mark.parametrize(
    ("step", "share"),
    [(0, 1.0), (99, 1.0), (100, 0.8), (110, 0.7), (130, 0.5), (160, 0.2), (10**9, 0.2)],
)
def test_the_share_of_random_actions_falls_after_the_warm_up(step, share) -> None:
    assert exploration_share(step, AGENT) == pytest.approx(share)


def test_the_ends_of_the_schedule_are_exactly_what_the_fields_say() -> None:
    agent = ValueAgent()
    assert exploration_share(20_000, agent) == 1.0
    assert exploration_share(270_000, agent) == 0.01


def test_a_noisy_agent_takes_no_random_action_after_its_warm_up() -> None:
    agent = Rainbow(warm_up_steps=100)
    assert [exploration_share(step, agent) for step in (99, 100, 5_000)] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("step", "exponent"),
    [(0, 0.4), (100, 0.4), (200, 0.55), (300, 0.7), (500, 1.0), (900, 1.0)],
)
def test_the_correction_is_whole_at_the_end_of_the_run(step, exponent) -> None:
    assert importance_exponent(step, 500, AGENT) == pytest.approx(exponent)


@pytest.mark.parametrize("total_steps", [50, 100])
def test_a_run_within_its_warm_up_has_an_exponent_too(total_steps) -> None:
    assert importance_exponent(50, total_steps, AGENT) == 0.4


def mixed(greedy: torch.Tensor, share: float, seed: int = 3) -> torch.Tensor:
    return with_random_actions(greedy, share, 6, torch.Generator().manual_seed(seed))


def test_none_or_all_are_random_at_the_ends() -> None:
    greedy = torch.full((6_000,), 9)
    assert torch.equal(mixed(greedy, 0.0), greedy)
    counts = mixed(greedy, 1.0).bincount(minlength=10)
    assert counts.sum() == counts[:6].sum() == 6_000
    assert bool(((counts[:6] - 1_000).abs() < 120).all())


def test_a_share_of_them_is_random_and_the_greedy_ones_are_left_as_they_are() -> None:
    greedy = torch.full((10_000,), 9)
    shown = mixed(greedy, 0.3)
    assert abs(float((shown != 9).float().mean()) - 0.3) < 0.02
    assert shown.dtype is torch.int64
    assert bool((greedy == 9).all())


@given(st.integers(1, 20), st.floats(0, 1), st.floats(0, 1), st.integers(1, 18))
def test_what_is_drawn_depends_on_neither_share_nor_actions(
    count, share, other, num_actions
) -> None:
    first, second = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    some = with_random_actions(torch.full((count,), 99), share, num_actions, first)
    others = with_random_actions(torch.full((count,), 98), other, num_actions, second)
    assert torch.equal(first.get_state(), second.get_state())
    both_random = (some != 99) & (others != 98)
    assert torch.equal(some[both_random], others[both_random])
    few, more = sorted([(some != 99, share), (others != 98, other)], key=lambda pair: pair[1])
    assert bool((more[0] | ~few[0]).all())  # a larger share keeps the random ones random
