import numpy
import pytest
from driving import drive, screen_text, wait_for_text, wait_until
from textual.app import App
from textual_plot.plot_widget import LinePlot

from tui.reading.curves import Curve, Line
from tui.widgets.curve_plot import CurvePlot

STEPS = numpy.arange(100_000.0)
SPIKE = 50_123


class PlotApp(App[None]):
    def compose(self):
        yield CurvePlot(is_interactive=True)

    def on_mount(self):
        self.query_one(CurvePlot).focus()

    @property
    def plot(self):
        return self.query_one(CurvePlot)

    @property
    def drawn(self):
        """Points of each line as the plotting library got them."""
        return [each for each in self.plot._datasets if isinstance(each, LinePlot)]


def drive_plot(scenario, size=(80, 20)):
    drive(PlotApp(), scenario, size=size)


def spiked():
    values = numpy.full(len(STEPS), 1.0)
    values[SPIKE : SPIKE + 3] = [9.0, 3.0, 9.0]
    return Line(STEPS, values, "loss")


def test_only_as_many_points_are_drawn_as_can_be_seen_and_zooming_brings_the_rest():
    async def scenario(pilot):
        app, plot = pilot.app, pilot.app.plot
        plot.show_lines([spiked()])
        await wait_until(pilot, lambda: app.drawn and len(app.drawn[0].x) > 1)
        assert len(app.drawn[0].x) < 700
        assert app.drawn[0].y.max() == 9.0
        assert SPIKE + 1 not in app.drawn[0].x
        for _ in range(22):
            await pilot.press("plus")
        await wait_until(pilot, lambda: plot.view and plot.view[1] - plot.view[0] < 100)
        first, last = plot.view
        assert first >= 0
        assert last <= STEPS[-1]
        for _ in range(10):
            if last > SPIKE + 3:
                break
            await pilot.press("right")
            await pilot.pause()
            first, last = plot.view
        await wait_until(pilot, lambda: 1.0 in app.drawn[0].y)
        await pilot.press("0")
        await wait_until(pilot, lambda: plot.view is None)

    drive_plot(scenario)


def test_one_cannot_pan_beyond_the_run():
    async def scenario(pilot):
        plot = pilot.app.plot
        plot.show_lines([spiked()])
        await pilot.press("plus")
        await wait_until(pilot, lambda: plot.view)
        width = plot.view[1] - plot.view[0]
        await pilot.press(*["left"] * 30)
        await wait_until(pilot, lambda: plot.view[0] == 0)
        assert plot.view[1] == pytest.approx(width)
        await pilot.press("minus", "minus", "minus")
        await wait_until(pilot, lambda: plot.view is None)

    drive_plot(scenario)


def test_values_are_read_where_the_cursor_is():
    async def scenario(pilot):
        rising = Line(numpy.arange(101.0), numpy.arange(101.0) / 10, "rising")
        pilot.app.plot.show_lines([rising])
        await wait_for_text(pilot, "rising 10")
        await pilot.press("comma")
        await wait_until(pilot, lambda: pilot.app.plot.cursor is not None)
        await wait_for_text(pilot, "rising 9.8")
        assert "at 9" in screen_text(pilot.app)
        await pilot.hover("#plot", offset=(40, 5))
        await wait_until(pilot, lambda: pilot.app.plot.cursor < 70)

    drive_plot(scenario)


def test_smoothing_keeps_the_axis_and_shows_the_raw_line_too():
    async def scenario(pilot):
        app = pilot.app
        values = numpy.tile([0.0, 1.0], 50)
        app.plot.show_lines([Line(numpy.arange(100.0), values, "jumpy")])
        await wait_until(pilot, lambda: len(app.drawn) == 1)
        await pilot.press("right_square_bracket", "right_square_bracket")
        await wait_for_text(pilot, "smoothed 0.9")
        raw, smoothed = app.drawn
        assert raw.y.max() == 1.0
        assert 0.4 < smoothed.y[-1] < 0.6

    drive_plot(scenario)


def test_a_logarithmic_axis_leaves_out_what_has_no_logarithm():
    async def scenario(pilot):
        app = pilot.app
        app.plot.show_lines([Line(numpy.arange(4.0), numpy.array([-1.0, 0.0, 10.0, 1000.0]), "x")])
        await pilot.press("l")
        await wait_for_text(pilot, "logarithmic")
        assert app.drawn[0].y.tolist() == [1.0, 3.0]
        await wait_for_text(pilot, " 100 ┫")

    drive_plot(scenario)


def test_lines_carry_letters_for_those_who_see_no_colours():
    async def scenario(pilot):
        lines = [Line(numpy.arange(9.0), numpy.full(9, float(n)), f"[b]{n}") for n in range(2)]
        pilot.app.plot.show_lines(lines)
        await wait_for_text(pilot, "a [b]0 0")
        await wait_for_text(pilot, "b [b]1 1")
        below = "\n".join(screen_text(pilot.app).split("\n")[1:])
        assert set("ab") <= set(below)

    drive_plot(scenario)


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (20, 5), (31, 7), (80, 24)])
@pytest.mark.parametrize(
    "values",
    [[], [3.0], [2.0, 2.0], [1e300, -1e300, 1e308], [1e10, 1e10], [0.0, 5e-324], [numpy.nan]],
)
def test_whatever_the_values_and_the_room_it_is_drawn(size, values):
    async def scenario(pilot):
        pilot.app.plot.show(Curve(numpy.arange(float(len(values))), numpy.array(values)))
        await pilot.press("plus", "l", "comma", "right", "right_square_bracket", "minus", "l")
        await pilot.resize_terminal(90, 30)
        await pilot.pause()

    drive_plot(scenario, size)
