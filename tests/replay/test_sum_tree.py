import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlmaster.replay import sum_tree
from rlmaster.replay.sum_tree import SumTree

CPU = torch.device("cpu")


@pytest.fixture
def many_levels(monkeypatch):
    """Give small trees several levels."""
    monkeypatch.setattr(sum_tree, "CHILDREN", 4)
    monkeypatch.setattr(sum_tree, "LARGEST_TOP", 4)


def filled(values: list[float]) -> SumTree:
    tree = SumTree(len(values), CPU)
    tree.set_all(torch.tensor(values, dtype=torch.float64))
    return tree


def test_leaves_are_drawn_in_proportion(many_levels):
    values = [0.0, 1.0, 2.0, 0.0, 5.0, 0.0, 0.0, 4.0, *[0.0] * 70, 3.0]
    tree = filled(values)
    assert len(tree._levels) == 4
    drawn = tree.draw(15_000, torch.Generator().manual_seed(0))
    counts = np.bincount(drawn, minlength=len(values))
    assert counts == pytest.approx(np.array(values) * 1000, abs=200)


def test_each_stratum_of_the_total_is_drawn_from_once():
    tree = filled([1.0] * 64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        assert (tree.draw(32, generator) // 2).tolist() == list(range(32))


@given(
    leaves=st.lists(
        st.one_of(st.just(0.0), st.floats(1e-12, 1e12)), min_size=1, max_size=90
    ).filter(any),
    seed=st.integers(0, 99),
)
def test_an_empty_leaf_is_never_drawn(leaves, seed):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sum_tree, "CHILDREN", 3)
        patched.setattr(sum_tree, "LARGEST_TOP", 3)
        tree = filled(leaves)
        drawn = tree.draw(500, torch.Generator().manual_seed(seed))
    assert all(leaves[leaf] > 0 for leaf in drawn.tolist())


@given(
    changes=st.lists(
        st.dictionaries(st.integers(0, 49), st.floats(0, 10), min_size=1), min_size=1, max_size=6
    )
)
def test_leaves_set_one_by_one_are_the_tree_of_those_leaves(changes):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sum_tree, "CHILDREN", 4)
        patched.setattr(sum_tree, "LARGEST_TOP", 4)
        tree, values = SumTree(50, CPU), [0.0] * 50
        for change in changes:
            tree.set(
                torch.tensor(list(change)), torch.tensor(list(change.values()), dtype=torch.float64)
            )
            for leaf, value in change.items():
                values[leaf] = value
        at_once = filled(values)
        for one, other in zip(tree._levels, at_once._levels, strict=True):
            assert torch.equal(one, other)
    assert tree.total.item() == pytest.approx(sum(values))


def test_the_last_leaf_can_be_drawn_and_nothing_beyond_it():
    tree = filled([0.1] * 1001)
    drawn = tree.draw(100_000, torch.Generator().manual_seed(1))
    assert drawn.min() == 0
    assert drawn.max() == 1000
