import math

import pytest

from rlmaster.reports.statistics import Mean, mean_of, student_quantile


@pytest.mark.parametrize(
    ("degrees", "confidence", "printed"),
    [  # as tables of Student's distribution have it
        (1, 0.95, 12.706),
        (2, 0.95, 4.303),
        (3, 0.95, 3.182),
        (4, 0.95, 2.776),
        (9, 0.95, 2.262),
        (30, 0.95, 2.042),
        (120, 0.95, 1.980),
        (1, 0.5, 1.0),
        (5, 0.99, 4.032),
    ],
)
def test_quantiles_are_those_of_the_tables(degrees, confidence, printed):
    assert student_quantile(degrees, confidence) == pytest.approx(printed, abs=5e-4)


def test_with_many_degrees_it_becomes_the_normal_distribution():
    assert student_quantile(100_001) == pytest.approx(1.95996, abs=1e-4)


def test_a_mean_and_its_interval_by_hand():
    # 2, 4, 9: mean 5, variance (9 + 1 + 16) / 2 = 13, standard error sqrt(13 / 3) = 2.0817,
    # times 4.3027 for two degrees of freedom.
    found = mean_of([2.0, 4.0, 9.0])

    assert found is not None
    assert (found.count, found.mean) == (3, 5.0)
    assert found.low == pytest.approx(5 - 4.3027 * math.sqrt(13 / 3), abs=1e-3)
    assert found.high == pytest.approx(5 + 4.3027 * math.sqrt(13 / 3), abs=1e-3)


def test_one_value_has_no_interval_and_none_has_no_mean():
    assert mean_of([0.25]) == Mean(1, 0.25, None, None)
    assert mean_of([]) is None
    assert mean_of([3.0, 3.0]) == Mean(2, 3.0, 3.0, 3.0)


def test_values_of_a_run_that_diverged_are_no_surprise():
    far = mean_of([1e200, -1e200, 0.0])  # their variance is 1e400

    assert far is not None
    assert far.high == pytest.approx(4.3027e200 / math.sqrt(3), rel=1e-4)
    assert mean_of([1.5e308, -1.5e308]) == Mean(2, 0.0, None, None)
    assert mean_of([1.5e308, 1.5e308]) == Mean(2, 1.5e308, 1.5e308, 1.5e308)
