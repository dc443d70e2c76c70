"""Lines of dots: the same as the library draws, but all at once; and what two share."""

from collections.abc import Sequence

import pytest
from driving import drive
from textual.app import App
from textual_hires_canvas import Canvas, HiResMode

from tui.widgets.plot_canvas import PlotCanvas

WIDTH, HEIGHT = 12, 6


class CanvasApp(App[None]):
    CSS = f"Canvas {{ width: {WIDTH}; height: {HEIGHT}; }}"

    def compose(self):
        yield Canvas(WIDTH, HEIGHT, id="library")
        yield PlotCanvas(WIDTH, HEIGHT, id="ours")


def drawn(canvas: Canvas, *lines: Sequence[tuple[float, float, float, float]]) -> list[str]:
    for number, line in enumerate(lines):
        canvas.draw_hires_lines(line, HiResMode.BRAILLE, f"color({number})")
    return [canvas.render_line(y).text for y in range(HEIGHT)]


def on_canvas(check) -> None:
    async def scenario(pilot):
        await pilot.pause()
        check(pilot.app.query_one("#library", Canvas), pilot.app.query_one("#ours", PlotCanvas))

    drive(CanvasApp(), scenario)


@pytest.mark.parametrize(
    "line",
    [
        [(1, 2, 9, 2)],
        [(9.5, 2, 1, 2)],
        [(3, 0, 3, 4.9)],
        [(0, 0, 4, 2)],
        [(1, 1, 1, 1)],
        [(0, 5, 1, 3.5), (1, 3.5, 5, 3.5), (5, 3.5, 6, 5)],
    ],
)
def test_lines_are_those_of_the_library(line):
    def check(library, ours):
        assert drawn(ours, line) == drawn(library, line)
        assert any(text.strip() for text in drawn(ours, line))

    on_canvas(check)


def test_what_is_outside_is_left_out():
    def check(_library, ours):
        assert drawn(ours, [(-5, 2, 30, 2)])[2] == "⠉" * WIDTH
        assert drawn(ours, [(-5, -2, 30, -2), (2, 40, 9, 40)])[2] == "⠉" * WIDTH

    on_canvas(check)


def test_a_line_hides_what_it_crosses_or_shares_its_cells():
    above, below = [(0, 2, 11, 2)], [(0, 2.9, 11, 2.9)]

    def check(_library, ours):
        assert drawn(ours, above, below)[2].startswith("⣀⣀")
        ours.is_merging = True
        assert drawn(ours, above, below)[2].startswith("⣉⣉")
        assert ours.get_pixel(3, 2)[1] == "color(1)"

    on_canvas(check)
