import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.reading.curves import CURVE_BINS, Curve, bounded, thinned, within
from tui.widgets.axes import LONGEST_BESIDE, Plain, PowersOfTen, Steps

STEPS = numpy.array([0.0, 10.0, 20.0, 30.0])
RISING = Curve(STEPS, STEPS / 10)


def test_a_thinned_curve_keeps_its_extremes_and_its_ends():
    values = numpy.sin(numpy.arange(50_000) / 9000)
    values[[0, 1234, -1]] = [5.0, 99.0, -7.0]
    curve = thinned(numpy.arange(50_000.0), values)
    assert len(curve.values) <= 2 * CURVE_BINS + 2
    assert curve.values.max() == 99.0
    assert curve.steps[curve.values.argmax()] == 1234
    assert (curve.values[0], curve.values[-1]) == (5.0, -7.0)
    assert (numpy.diff(curve.steps) > 0).all()


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200), st.integers(1, 60))
def test_whatever_is_thinned_keeps_its_extremes(values, bins):
    steps = numpy.arange(float(len(values)))
    curve = thinned(steps, numpy.array(values), bins)
    assert (curve.values.min(), curve.values.max()) == (min(values), max(values))
    assert (curve.values == numpy.array(values)[curve.steps.astype(int)]).all()


def test_a_short_curve_keeps_every_finite_point():
    curve = thinned(numpy.arange(4.0), numpy.array([1.0, numpy.nan, numpy.inf, 2.0]))
    assert curve.steps.tolist() == [0.0, 3.0]
    assert curve.values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("first", "last", "steps"),
    [
        (5, 25, [5, 10, 20, 25]),
        (10, 20, [10, 20]),
        (-5, 15, [0, 10, 15]),
        (15, 99, [15, 20, 30]),
        (12, 13, [12, 13]),
        (40, 50, []),
    ],
)
def test_a_stretch_ends_where_the_curve_crosses_its_borders(first, last, steps):
    stretch = within(RISING, first, last)
    assert stretch.steps.tolist() == steps
    assert stretch.values.tolist() == pytest.approx([step / 10 for step in steps])


def test_what_cannot_be_drawn_is_left_out():
    curve = bounded(Curve(STEPS, numpy.array([numpy.nan, 1.0, numpy.inf, 1e308])))
    assert curve.steps.tolist() == [10.0, 30.0]
    assert curve.values.tolist() == [1.0, 1e300]


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 50_000, ["0", "10,000", "20,000", "30,000", "40,000", "50,000"]),
        (0.1, 0.3, ["0.1", "0.15", "0.2", "0.25", "0.3"]),
        (-1e-9, 1e-9, ["-1e-09", "-5e-10", "0", "5e-10", "1e-09"]),
    ],
)
def test_ticks_are_labelled_as_people_write_them(low, high, labels):
    _, found = Plain(9).get_ticks_and_labels(low, high)
    assert [label for label in found if label in labels] == labels


def test_large_numbers_are_shortened_rather_than_cut():
    assert Plain(9).get_ticks_and_labels(0, 2e6)[1][-1] == "2e+06"
    assert Steps(9).get_ticks_and_labels(0, 2e6)[1][-1] == "2,000,000"
    assert PowersOfTen(9).get_ticks_and_labels(-100.2, -99.9)[1] == ["6.3e-101", "1.3e-100"]


def test_no_step_is_named_so_near_the_end_that_it_would_be_cut():
    assert Steps(6).get_ticks_and_labels(0, 4000)[1][-1] == "4,000", "the last one ends there"
    assert Steps(6).get_ticks_and_labels(0, 4100)[1][-1] == "3,000"


def test_a_logarithmic_axis_names_the_numbers():
    assert PowersOfTen(9).get_ticks_and_labels(-3, 0)[1][0] == "0.001"
    assert PowersOfTen(9).get_ticks_and_labels(0.1, 0.2)[1] == ["1.26", "1.58"]
    assert PowersOfTen(9).get_ticks_and_labels(-30, 0)[1][-1] == "1"


def test_labels_leave_room_for_each_other():
    assert Plain(3).get_ticks_and_labels(0, 50_000)[1] == ["0", "20,000", "40,000"]
    assert len(PowersOfTen(3).get_ticks_and_labels(-2, 0)[1]) <= 4


@given(st.floats(-1e300, 1e300), st.floats(1e-12, 1e300))
def test_every_axis_has_labels(low, width):
    if low + width > low and (width > 1e-9 * abs(low)):
        ticks, labels = Plain(9).get_ticks_and_labels(low, low + width)
        assert len(ticks) == len(labels) > 0
        assert max(map(len, labels)) <= LONGEST_BESIDE, "a label that is cut is another number"
