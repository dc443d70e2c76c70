"""Schedules: how many steps, where the last one is, what happens when there are too few."""

from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from rlmaster.training.schedule import Schedule, evenly_spaced, growing

totals = st.integers(1, 10**9)


@given(totals, st.integers(1, 200))
def test_even_steps_end_at_the_total_and_are_evenly_apart(total: int, count: int) -> None:
    steps = sorted(evenly_spaced(total, count))
    assert steps[-1] == total
    assert steps[0] >= 1
    assert len(steps) == min(total, count)
    gaps = {b - a for a, b in zip([0, *steps], steps, strict=False)}
    assert max(gaps) - min(gaps) <= 1


@given(totals, st.integers(2, 200))
def test_growing_steps_go_from_one_to_the_total(total: int, count: int) -> None:
    steps = sorted(growing(total, count))
    assert steps[0] == 1
    assert steps[-1] == total
    assert len(steps) <= count


def test_growing_intervals_grow() -> None:
    steps = sorted(growing(10**6, 7))
    assert steps == [1, 10, 100, 1000, 10_000, 100_000, 1_000_000]


def test_one_or_no_step() -> None:
    assert growing(50, 1) == {50}
    assert growing(50, 0) == frozenset()


@given(
    st.lists(st.integers(1, 10**4), max_size=20),
    st.lists(st.integers(0, 64), min_size=1, max_size=200),
)
def test_however_many_steps_are_done_at_once_each_that_is_due_is_passed_once(
    due: list[int], strides: list[int]
) -> None:
    schedule = Schedule(due, max(strides))
    steps = [0, *accumulate(strides)]
    passed = [after for before, after in pairwise(steps) if schedule.is_passed(before, after)]
    slowly = {min(step for step in steps if step >= each) for each in due if each <= steps[-1]}
    assert passed == sorted(slowly)
    assert all(step in schedule for step in passed)


def test_a_step_that_cannot_be_the_first_after_one_that_is_due_is_not_in_the_schedule() -> None:
    assert [step for step in range(120) if step in Schedule({50, 100}, 8)] == [
        *range(50, 58),
        *range(100, 108),
    ]
    assert "50" not in Schedule({50})
