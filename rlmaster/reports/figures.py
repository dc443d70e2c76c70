"""Plots of a run for paper: PNG files in RUN/plots/, drawn from its TensorBoard scalars.

Only Figure objects are used, never pyplot, and settings hold for the drawing alone: whoever uses
matplotlib in the same process finds theirs as they left them.
"""

# pyright: reportUnknownMemberType=false
# The types of matplotlib's methods leave their keyword arguments open.

import io
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from PIL import Image

from rlmaster.durable_files import write_atomically
from rlmaster.reports.scalars import Floats, Series, smooth
from rlmaster.reports.summary import rounded

SIZE_INCHES = (3.3, 2.2)
"""Width of one column of a two-column page, and a height that suits it."""
DOTS_PER_INCH = 300
SMOOTHING = 0.9
NOTED_WHILE_TRAINING = "train/"
"""Begins the tags of what is noted so often that a curve is mostly noise."""
FEW_POINTS = 30
"""Below this many, points are marked one by one and not smoothed."""
LARGEST_VALUE = 1e100
"""Beyond it a value counts as not finite, because axes could not be computed."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito (2008): told apart by colour-blind readers too."""
STYLE: Mapping[Any, Any] = {
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.use_mathtext": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "ytick.minor.size": 1.5,
    "ytick.minor.width": 0.4,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.2,
    "lines.markersize": 2.2,
    "lines.solid_capstyle": "round",
}
ABOVE_POINTS = 9.0
"""How far a word is set above the beginning of a curve that rises, in points."""
TEXT_HEIGHT = 0.07
"""Of a line of text, in heights of the axes."""
STANDARD_PLOTS: Mapping[str, tuple[Mapping[str, str], Mapping[str, Any]]] = {
    "return": (
        {"evaluation/return": "evaluation", "train/return": "training"},
        {"y_label": "Return (points)", "is_linear": True, "mark_ends": True},
    ),
    "training_loss": ({"train/loss": ""}, {"y_label": "Training loss"}),
    "canonical_error": (
        {
            "canonical/error": "whole frame",
            "canonical/foreground_error": "foreground",
            "canonical/ball_error": "ball",
        },
        {"y_label": "Error on canonical frames", "mark_ends": True},
    ),
    "ball_found": (
        {"canonical/ball_found": ""},
        {"y_label": "Share of balls found", "from_zero": True, "mark_ends": True},
    ),
    "held_out_error": (
        {"held_out/error": "whole frame", "held_out/foreground_error": "foreground"},
        {"y_label": "Held-out error", "mark_ends": True},
    ),
    "throughput": (
        {"train/updates_per_s": ""},
        {"y_label": "Throughput (updates / s)", "from_zero": True},
    ),
    "playing_speed": (
        {"train/steps_per_s": ""},
        {"y_label": "Throughput (agent steps / s)", "from_zero": True},
    ),
}
"""Of each standard plot: its tags with what the legend calls them, and how it is drawn."""
AXIS_WORDS = {"updates": "Updates", "steps": "Agent steps"}


@dataclass(frozen=True)
class Line:
    """One curve of a plot."""

    series: Series
    label: str = ""
    """Its name in the legend; a plot whose lines have none has no legend."""
    smoothing: float = 0.0
    """TensorBoard's smoothing weight; above 0 the raw values stay visible, lightly."""

    @cached_property
    def points(self) -> tuple[Floats, Floats]:
        """Steps and values of the points that can be drawn."""
        keep = np.abs(self.series.values) < LARGEST_VALUE
        return self.series.steps[keep], self.series.values[keep]


def draw_standard_plots(
    series: Mapping[str, Series], folder: Path, *, axis: str = "updates"
) -> dict[str, Path]:
    """Draw the curves that every report shows, each where its scalars exist.

    Args:
        series: Scalars of the run, by tag.
        folder: Where the PNG files go; made if missing.
        axis: What the steps count: `updates` or `steps`.

    Returns:
        The plots that were drawn, by their names in `STANDARD_PLOTS`.
    """
    drawn: dict[str, Path] = {}
    for name, (tags, options) in STANDARD_PLOTS.items():
        known = [_line(series[tag], tag, label) for tag, label in tags.items() if tag in series]
        if lines := [line for line in known if len(line.points[0])]:
            drawn[name] = folder / f"{name}.png"
            plot_series(drawn[name], lines, x_label=AXIS_WORDS.get(axis, "Steps"), **options)
    return drawn


def _line(series: Series, tag: str, label: str) -> Line:
    """Return a scalar's curve: what training notes all along is smoothed, a measurement is not."""
    return Line(series, label, SMOOTHING if tag.startswith(NOTED_WHILE_TRAINING) else 0.0)


def plot_series(
    path: Path,
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    from_zero: bool = False,
    is_linear: bool = False,
    mark_ends: bool = False,
) -> None:
    """Draw scalars over steps into a PNG file.

    Args:
        path: The file; its folder is made if missing.
        lines: At most six curves, each with at least one finite value.
        x_label: What the steps count.
        y_label: What the values are, with their unit.
        from_zero: Whether the value axis starts at zero.
        is_linear: Whether it is never logarithmic; otherwise it is one where the values span a
            decade or more.
        mark_ends: Whether values at step 0 are marked as those before training, and the last ones
            are written out, of lines that are not smoothed.
    """
    with drawing(path, x_label, y_label) as axes:
        for line, colour in zip(lines, COLOURS, strict=False):
            _draw_line(axes, line, colour)
        if from_zero:
            highest = max(line.points[1].max() for line in lines)
            axes.set_ylim(0, 1.08 * highest if highest > 0 else 1)
        elif not is_linear:
            choose_scale(axes, lines)
        if mark_ends:
            measured = [pair for pair in zip(lines, COLOURS, strict=False) if not pair[0].smoothing]
            _mark_starts(axes, measured)
            _write_final_values(axes, measured)
        _finish(axes, lines)


def _draw_line(axes: Axes, line: Line, colour: str) -> None:
    steps, values = line.points
    marker = "o" if len(steps) < FEW_POINTS else ""
    if line.smoothing and not marker:
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.7)
        values = smooth(values, line.smoothing)
    axes.plot(steps, values, color=colour, label=line.label, marker=marker)


@contextmanager
def drawing(
    path: Path, x_label: str, y_label: str, size_inches: tuple[float, float] = SIZE_INCHES
) -> Generator[Axes]:
    """Give empty axes to draw in, and write what was drawn to the file.

    Args:
        path: The PNG file; its folder is made if missing.
        x_label: What the steps count.
        y_label: What the values are, with their unit.
        size_inches: Width and height.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=size_inches, dpi=DOTS_PER_INCH, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_xlabel(x_label, parse_math=False)
        axes.set_ylabel(y_label, parse_math=False)
        yield axes
        canvas.draw()
    # Without its alpha channel, for which TeX would make it a transparent picture.
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    content = io.BytesIO()
    picture.save(content, format="PNG", dpi=(DOTS_PER_INCH, DOTS_PER_INCH), optimize=True)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, content.getvalue())


def choose_scale(axes: Axes, lines: Sequence[Line]) -> None:
    """Make the value axis logarithmic where all values are positive and span a decade."""
    values = np.concatenate([line.points[1] for line in lines])
    if values.min() <= 0 or values.max() < 10 * values.min():
        return
    axes.set_yscale("log")
    if values.max() > 1000 * values.min():
        axes.yaxis.set_minor_formatter(NullFormatter())


def _write_final_values(axes: Axes, lines: Sequence[tuple[Line, str]]) -> None:
    """Write the last value of each curve, which has a colour, at the right edge.

    Where two would touch they are moved apart.
    """
    finals = [float(line.points[1][-1]) for line, _ in lines]
    heights = [axes.transData.transform((0, final))[1] for final in finals]
    touch = max(heights, default=0) - min(heights, default=0) < TEXT_HEIGHT * axes.bbox.height
    for (_, colour), final, height in zip(lines, finals, heights, strict=True):
        aside = 0.0 if not touch or len(lines) == 1 else 4.0 if height == max(heights) else -4.0
        _write(axes, _mathtext(rounded(final)), (1, final), (3, aside), colour, at_edge=True)


def _mark_starts(axes: Axes, lines: Sequence[tuple[Line, str]]) -> None:
    """Open the circles of what was measured before training, and say so beside the highest."""
    starts: list[float] = []
    for line, colour in lines:
        steps, values = line.points
        if steps[0] == 0:
            axes.plot(0, values[0], "o", color=colour, markerfacecolor="white", markersize=4.5)
            starts.append(float(values[0]))
    if starts:
        above = ABOVE_POINTS if _rises(lines[0][0]) else 0.0
        _write(axes, "before training", (0, max(starts)), (5, above), "#555555")


def _write(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    aside: tuple[float, float],
    colour: str,
    *,
    at_edge: bool = False,
) -> None:
    """Write beside a point; `aside` is in points; with `at_edge`, x counts widths of the axes."""
    axes.annotate(
        text,
        xy=at,
        xycoords=axes.get_yaxis_transform() if at_edge else "data",
        xytext=aside,
        textcoords="offset points",
        color=colour,
        va="center",
    )


def _mathtext(number: str) -> str:
    """Return a number with its power of ten set as one."""
    mantissa, e, exponent = number.partition("e")
    return rf"${mantissa}\times10^{{{int(exponent)}}}$" if e else number


def _finish(axes: Axes, lines: Sequence[Line]) -> None:
    """Write steps with their thousands apart, and add the legend where lines have names."""
    count_steps(axes)
    if any(line.label for line in lines):
        free = "lower right" if _rises(lines[0]) else "upper right"
        axes.legend(loc=free, borderaxespad=0.2)


def count_steps(axes: Axes) -> None:
    """Write steps with their thousands apart, and have room for a single one."""
    first, last = axes.dataLim.intervalx
    if first == last:
        axes.set_xlim(first - 1, last + 1)
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))


def _rises(line: Line) -> bool:
    """Tell whether a curve ends above its beginning, so that there is room below it."""
    values = line.points[1]
    return bool(values[-1] > values[0])
