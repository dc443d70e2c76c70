import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from rlmaster.reports import figures
from rlmaster.reports.figures import COLOURS, Line, draw_standard_plots, plot_series
from rlmaster.reports.scalars import Series


def series(points):
    made = Series()
    for step, value in points:
        made.append(step, value, 0.0)
    made.settle()
    return made


FALLING = series((step, 0.3 * 0.9**step) for step in range(50))


def has_colour(path, colour):
    """Tell whether a picture has pixels of a line's colour."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    with Image.open(path) as picture:
        return bool((np.asarray(picture) == wanted).all(axis=-1).any())


def test_the_standard_plots_have_one_size_and_their_lines(tmp_path):
    names = ("train/loss", "held_out/error", "held_out/foreground_error", "train/updates_per_s")
    canonical = ("canonical/error", "canonical/ball_error", "canonical/ball_found")
    drawn = draw_standard_plots(dict.fromkeys((*names, *canonical), FALLING), tmp_path / "plots")
    assert list(drawn) == [
        "training_loss",
        "canonical_error",
        "ball_found",
        "held_out_error",
        "throughput",
    ]
    for path in drawn.values():
        with Image.open(path) as picture:
            assert (picture.size, picture.mode) == ((990, 660), "RGB")
        assert has_colour(path, COLOURS[0])
    assert has_colour(drawn["held_out_error"], COLOURS[1])
    assert not has_colour(drawn["training_loss"], COLOURS[1])


RISING = series((100 * step, 20.0 * step - 20) for step in range(20))
NOISY = series((step, 50.0 + (-1) ** step * 40) for step in range(2000))


def test_returns_are_one_linear_plot_with_the_measured_ends_written_out(tmp_path, drawn_texts):
    scalars = {"train/return": NOISY, "evaluation/return": RISING}

    drawn = draw_standard_plots(scalars, tmp_path, axis="steps")

    assert list(drawn) == ["return"]
    assert has_colour(drawn["return"], COLOURS[0])
    assert has_colour(drawn["return"], COLOURS[1])
    texts, scale, label, legend = drawn_texts()
    assert texts == ["before training", "360"]  # and not the last episode's 10
    assert (scale, label, legend) == ("linear", "Agent steps", "lower right")


def test_returns_above_zero_are_linear_too(tmp_path, drawn_texts):
    draw_standard_plots({"evaluation/return": series([(0, 1.0), (9, 400.0)])}, tmp_path)

    assert drawn_texts()[1] == "linear"


@pytest.fixture
def drawn_texts(monkeypatch):
    """Tell of the newest plot its annotations, its value axis, its step axis, its legend."""
    seen: list[Axes] = []
    finish = figures._finish
    monkeypatch.setattr(
        figures, "_finish", lambda axes, lines: (seen.append(axes), finish(axes, lines))
    )

    def tell() -> tuple[list[str], str, str, str]:
        axes = seen[-1]
        legend = axes.get_legend()
        places = {4: "lower right", 1: "upper right"}
        place = places[legend._loc] if legend else ""
        return [text.get_text() for text in axes.texts], axes.get_yscale(), axes.get_xlabel(), place

    return tell


def test_a_missing_or_empty_tag_gives_no_plot(tmp_path):
    nothing = series([(0, float("nan")), (1, float("inf"))])
    drawn = draw_standard_plots({"train/loss": nothing, "held_out/error": FALLING}, tmp_path)
    assert list(drawn) == ["held_out_error"]
    assert not (tmp_path / "training_loss.png").exists()


@pytest.mark.parametrize(
    "points",
    [
        [(5, 1.0)],
        [(0, 0.0), (1, 0.0)],
        [(0, -1.0), (1, float("nan")), (2, 3.0)],
        [(0, 1e-300), (1, 1e99)],
        [(0, 1e200), (1, 1.0)],
        [(10**15, 1.0), (10**15 + 1, 2.0)],
    ],
)
def test_any_numbers_can_be_drawn(tmp_path, points):
    names = ("train/loss", "held_out/error", "train/updates_per_s")
    drawn = draw_standard_plots(dict.fromkeys(names, series(points)), tmp_path)
    assert len(drawn) == 3


def test_any_scalar_can_be_plotted_and_labels_are_no_formulas(tmp_path):
    path = tmp_path / "other.png"
    lines = [Line(FALLING, "one"), Line(FALLING, "two")]
    plot_series(path, lines, x_label="Agent steps", y_label="cost in $ and ^")
    assert has_colour(path, COLOURS[1])


def test_matplotlib_is_left_as_it_was(tmp_path):
    with mpl.rc_context({"font.size": 31, "text.usetex": True}):
        draw_standard_plots({"train/loss": FALLING}, tmp_path)
        assert mpl.rcParams["font.size"] == 31
        assert mpl.rcParams["text.usetex"]
