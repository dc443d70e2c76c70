"""Categorical returns, against numbers worked by hand and algorithm 1 as the paper prints it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rlmaster.agents.categorical import cross_entropy, expected_values, project

SUPPORT = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])


def projected(probabilities: list[float], reward: float, discount: float) -> list[float]:
    rows = torch.tensor([probabilities]), torch.tensor([reward]), torch.tensor([discount])
    return project(*rows, SUPPORT)[0].tolist()


@pytest.mark.parametrize(
    ("probabilities", "reward", "discount", "expected"),
    [
        # Nothing happens: every shifted atom lies on one.
        ([0.1, 0.2, 0.3, 0.2, 0.2], 0.0, 1.0, [0.1, 0.2, 0.3, 0.2, 0.2]),
        # The end of an episode: all mass at the reward, on an atom or between two.
        ([0.1, 0.2, 0.3, 0.2, 0.2], 1.0, 0.0, [0, 0, 0, 1, 0]),
        ([0.1, 0.2, 0.3, 0.2, 0.2], 0.25, 0.0, [0, 0, 0.75, 0.25, 0]),
        # -1 and 1 move to -0.25 and 0.75.
        ([0, 0.5, 0, 0.5, 0], 0.25, 0.5, [0, 0.125, 0.5, 0.375, 0]),
        # A whole atom up: what passes the upper end stays there.
        ([0.1, 0.2, 0.3, 0.2, 0.2], 1.0, 1.0, [0, 0.1, 0.2, 0.3, 0.4]),
        # Far beyond either end.
        ([0.1, 0.2, 0.3, 0.2, 0.2], 90.0, 0.5, [0, 0, 0, 0, 1]),
        ([0.1, 0.2, 0.3, 0.2, 0.2], -90.0, 0.5, [1, 0, 0, 0, 0]),
    ],
)
def test_projection_of_what_is_worked_by_hand(probabilities, reward, discount, expected) -> None:
    assert projected(probabilities, reward, discount) == pytest.approx(expected, abs=1e-6)


def slowly_projected(row: Tensor, reward: float, discount: float, support: list[float]):
    """Algorithm 1, atom by atom, in double precision; one on which mass falls exactly gets it."""
    low, high, last = support[0], support[-1], len(support) - 1
    target = [0.0] * len(support)
    for probability, atom in zip(row.tolist(), support, strict=True):
        shifted = min(max(reward + discount * atom, low), high)
        place = min(max((shifted - low) / ((high - low) / last), 0.0), last)
        lower, upper = math.floor(place), math.ceil(place)
        if lower == upper:
            target[lower] += probability
        else:
            target[lower] += probability * (upper - place)
            target[upper] += probability * (place - lower)
    return target


@st.composite
def cases(draw):
    """Transitions with whole and broken rewards, ended episodes, and any support."""
    num_atoms = draw(st.integers(2, 60))
    low, width = draw(st.floats(-20, 20)), draw(st.floats(0.5, 40))
    support = torch.linspace(low, low + width, num_atoms)
    rewards = st.one_of(st.integers(-3, 3).map(float), st.floats(-50, 50, width=32))
    on_an_atom = st.sampled_from(support.tolist())
    discounts = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1, width=32))
    count = draw(st.integers(1, 4))
    rows = st.lists(st.one_of(rewards, on_an_atom), min_size=count, max_size=count)
    reward = torch.tensor(draw(rows))
    discount = torch.tensor(draw(st.lists(discounts, min_size=count, max_size=count)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    sharpness = draw(st.sampled_from([0.1, 1.0, 30.0]))
    logits = sharpness * torch.randn(count, num_atoms, generator=generator)
    return logits.softmax(1), reward, discount, support


@given(cases())
def test_projection_is_the_papers_loop(case) -> None:
    probabilities, reward, discount, support = case
    target = project(probabilities, reward, discount, support)
    assert target.dtype is torch.float32
    assert torch.allclose(target.sum(1), torch.ones(len(target)), atol=1e-5)
    assert bool((target >= 0).all())
    atoms, rewards, discounts = support.tolist(), reward.tolist(), discount.tolist()
    for number, shown in enumerate(target):
        slow = slowly_projected(probabilities[number], rewards[number], discounts[number], atoms)
        assert torch.allclose(shown, torch.tensor(slow), atol=1e-4)


def test_projection_keeps_the_expected_return_where_nothing_is_clipped() -> None:
    torch.manual_seed(0)
    support = torch.linspace(-10, 10, 51)
    probabilities = torch.randn(64, 51).softmax(1)
    reward, discount = torch.rand(64) * 2 - 1, torch.full((64,), 0.9)
    before = reward + discount * (probabilities * support).sum(1)
    after = (project(probabilities, reward, discount, support) * support).sum(1)
    assert torch.allclose(before, after, atol=1e-4)


def test_projection_is_exact_under_autocast_and_one_graph_to_a_compiler() -> None:
    torch.manual_seed(0)
    support = torch.linspace(-10, 10, 51)
    probabilities, reward = torch.randn(8, 51).softmax(1), torch.randn(8)
    given_rows = probabilities, reward, torch.full((8,), 0.97), support
    compiled = torch.compile(project, backend="eager", fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(compiled(*given_rows), project(*given_rows))
        under_autocast = project(*given_rows)
    assert torch.equal(under_autocast, project(*given_rows))


def test_the_value_of_an_action_is_the_mean_of_its_atoms() -> None:
    probabilities = torch.tensor([[[0.5, 0.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.25, 0.25, 0.5]]])
    shown = expected_values((probabilities + 1e-12).log() + 3, SUPPORT)
    assert shown[0].tolist() == pytest.approx([0.0, 1.25], abs=1e-5)


def test_values_keep_what_bfloat16_would_round_away() -> None:
    torch.manual_seed(0)
    support = torch.linspace(-10, 10, 51)
    logits = torch.randn(4, 6, 51)
    exact = expected_values(logits, support)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(expected_values(logits, support), exact)
    assert expected_values(logits.bfloat16(), support).dtype is torch.float32


def test_cross_entropy_of_each_transition() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]).log() - 7
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    shown = cross_entropy(logits, target)
    assert shown.tolist() == pytest.approx([math.log(2), math.log(4)], abs=1e-5)


def test_cross_entropy_pulls_the_distribution_to_its_target() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    target = torch.tensor([[0.2, 0.5, 0.3]])
    cross_entropy(logits, target).sum().backward()
    assert logits.grad is not None
    assert torch.allclose(logits.grad, torch.full((1, 3), 1 / 3) - target)


def test_a_certain_wrong_guess_costs_much_but_not_infinitely() -> None:
    shown = cross_entropy(torch.tensor([[200.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert shown.tolist() == [200.0]
