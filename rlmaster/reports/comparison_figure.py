"""The picture of a comparison: the curves of all runs, and the mean of each experiment."""

# pyright: reportUnknownMemberType=false
# The types of matplotlib's methods leave their keyword arguments open.

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rlmaster.errors import UsageError
from rlmaster.reports.comparison import Contest, Group
from rlmaster.reports.figures import (
    AXIS_WORDS,
    COLOURS,
    Line,
    choose_scale,
    count_steps,
    drawing,
)
from rlmaster.reports.scalars import Floats, read_scalars
from rlmaster.reports.summary import metric_name
from rlmaster.run_folder import RunFolder

SIZE_INCHES = (6.6, 3.2)
"""Both columns of a two-column page."""
LABEL_CHARACTERS = 80
"""Of an experiment's name or settings in the legend, at most."""
LINE_CHARACTERS = 30
DASHES = ("-", "--", ":")
"""Tell experiments apart that share a colour, because there are more of them than colours."""
EXPERIMENTS = len(COLOURS) * len(DASHES)


def draw_contest(path: Path, contest: Contest, folders: Mapping[str, RunFolder]) -> None:
    """Draw the curve of each run of a contest, lightly, and each experiment's mean over its seeds.

    Args:
        path: The PNG file; its folder is made if missing.
        contest: What was measured in the same way, at most `EXPERIMENTS` experiments.
        folders: Each of its runs, by id.

    Raises:
        UsageError: If there is nothing to draw, or too much.
    """
    if len(contest.groups) > EXPERIMENTS:
        raise UsageError(
            f"{len(contest.groups)} experiments are more than one picture can tell apart; name "
            f"runs of at most {EXPERIMENTS}"
        )
    curves = [(group, _curves(group, contest.metric, folders)) for group in contest.groups]
    drawn = [(group, lines) for group, lines in curves if lines]
    if not drawn:
        raise UsageError("none of these runs was measured yet; wait until one is")
    are_named = len({group.name for group, _ in drawn}) == len(drawn)
    counted = folders[drawn[0][0].outcomes[0].row.id].progress().result.get("axis", "")
    x_label, y_label = AXIS_WORDS.get(counted, "Steps"), metric_name(contest.metric)
    with drawing(path, x_label, y_label, SIZE_INCHES) as axes:
        for number, (group, lines) in enumerate(drawn):
            colour = COLOURS[number % len(COLOURS)]
            dash = DASHES[number // len(COLOURS)]
            for line in lines if len(lines) > 1 else ():
                axes.plot(*line.points, dash, color=colour, alpha=0.3, linewidth=0.6)
            label = _label(group.name if are_named else group.settings, len(lines))
            axes.plot(*mean_curve(lines), dash, color=colour, label=label)
        choose_scale(axes, [line for _, lines in drawn for line in lines])
        count_steps(axes)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)


def _label(name: str, count: int) -> str:
    """Return what the legend calls an experiment of so many runs."""
    short = textwrap.shorten(name, LABEL_CHARACTERS, placeholder=" ...")
    broken = textwrap.fill(short, LINE_CHARACTERS).replace("$", r"\$")
    return f"{broken} ({count} runs)" if count > 1 else broken


def _curves(group: Group, metric: str, folders: Mapping[str, RunFolder]) -> list[Line]:
    """Return the curves of a group's runs that count, or of all where none has ended."""
    counted = [one for one in group.outcomes if one.counts] or group.outcomes
    found = [read_scalars(folders[one.row.id].tensorboard).get(metric) for one in counted]
    lines = [Line(series) for series in found if series is not None]
    return [line for line in lines if len(line.points[0])]


def mean_curve(lines: Sequence[Line]) -> tuple[Floats, Floats]:
    """Return the mean curve, as far as each of them goes; between points they are straight."""
    first = max(line.points[0][0] for line in lines)
    last = min(line.points[0][-1] for line in lines)
    steps = np.unique(np.concatenate([line.points[0] for line in lines]))
    steps = steps[(steps >= first) & (steps <= last)]
    return steps, np.mean([np.interp(steps, *line.points) for line in lines], axis=0)
