"""What several runs came to, drawn and in words."""

import math
from collections.abc import Iterator, Mapping, Sequence

from textual.content import Content

from rlmaster.reports.comparison import Comparison, Contest, Group, Outcome
from rlmaster.reports.statistics import Mean
from rlmaster.reports.summary import metric_name, rounded
from rlmaster.run_index.row import RunRow
from tui.reading.curves import letter_of
from tui.words.plain_text import fit, one_line
from tui.words.wording import share, state_colour

QUIET = "$foreground-muted"
LEAST_SCALE = 24
WIDEST_SCALE = 60
SPREAD = 0.25
"""How far the scale reaches beyond the values on both sides, as a share of their range."""


def title(comparison: Comparison, gone: int) -> Content:
    """Name the runs, and say what cannot be compared."""
    count = len(comparison.rows)
    parts = [Content.styled(f"{count} runs" if count != 1 else "1 run", "bold")]
    if gone:
        parts.append(Content.styled(f"  {gone} no longer there", "$text-warning"))
    if comparison.unlike:
        told = "  not all measured in the same way, so not all compared"
        parts.append(Content.styled(told, "$text-warning"))
    return Content("").join(parts)


def row_label(row: RunRow, number: int) -> str:
    """Name a run in the head of a column."""
    return f"{letter_of(number)} {one_line(row.short_id)}"


def state_words(row: RunRow) -> str:
    """Return the state and, of a run that trains, how far it is."""
    if row.is_final or row.trained_share is None:
        return str(row.state)
    return f"{row.state} {share(row.step, row.total)}"


def value_words(row: RunRow) -> str:
    """Return a run's result; a dash while there is none."""
    return rounded(row.value) if row.value is not None else "–"


def results(comparison: Comparison, width: int) -> Content:
    """Tell what each experiment came to, best first, with every seed's value."""
    letters = {row.path: letter_of(number) for number, row in enumerate(comparison.rows)}
    parts = [
        Content("\n").join(_contest_lines(contest, letters, width))
        for contest in comparison.contests
    ]
    return Content("\n\n").join(parts)


def _contest_lines(contest: Contest, letters: Mapping[str, str], width: int) -> Iterator[Content]:
    if contest.metric:
        better = "higher" if contest.higher_is_better else "lower"
        name = one_line(metric_name(contest.metric))
        yield Content.assemble((name, "bold"), f", {better} is better")
    else:
        yield Content.styled("No result yet", "bold")
    if contest.setting:
        yield Content.styled(one_line(contest.setting), QUIET)
    scale = Scale.of(contest, width)
    for group in contest.groups:
        yield from _group_lines(group, letters, scale)
    if scale is not None:
        yield Content.styled(f"  {scale.legend()}", QUIET)


def _group_lines(
    group: Group, letters: Mapping[str, str], scale: "Scale | None"
) -> Iterator[Content]:
    mark = ("▲ ", "$text-success") if group.is_best else ("  ", "")
    yield Content.assemble(mark, (one_line(group.name), "bold"), f"  {one_line(group.settings)}")
    mean = group.mean
    if mean is not None and mean.count > 1:
        yield _mean_line(mean)
    if mean is not None and scale is not None:
        yield Content.assemble("  ", scale.draw(group))
    is_one_seed = mean is not None and mean.count == 1
    for outcome in group.outcomes:
        letter = letters.get(outcome.row.path, " ")
        yield _outcome_line(outcome, letter, is_one_seed=is_one_seed)


def _mean_line(mean: Mean) -> Content:
    """Tell a mean, of how many seeds it is, and how well it is known."""
    interval = "no interval: they are too far apart"
    if mean.low is not None and mean.high is not None:
        interval = f"95 % {rounded(mean.low)} to {rounded(mean.high)}"
    return Content.assemble(
        ("    mean ", QUIET),
        (rounded(mean.mean), "bold $text-primary"),
        (f" of {mean.count} seeds  ", QUIET),
        interval,
    )


def _outcome_line(outcome: Outcome, letter: str, *, is_one_seed: bool) -> Content:
    row = outcome.row
    seed = fit(one_line(outcome.seed) or "?", 3)
    if not outcome.counts:
        is_repeated = row.state == "completed" and row.value is not None
        note = "a later run of this seed counts" if is_repeated else state_words(row)
        colour = QUIET if is_repeated else state_colour(row.state)
    else:
        note, colour = "one seed, so no interval" if is_one_seed else "", QUIET
    return Content.assemble(
        (f"    {letter} {one_line(row.short_id)}  ", QUIET),
        f"seed {seed} {value_words(row)}",
        (f"  {note}", colour),
    )


class Scale:
    """An axis that all experiments of a contest share."""

    def __init__(self, low: float, high: float, width: int) -> None:
        """Reach from one value to another in so many cells."""
        self._low, self._high, self._width = low, high, width

    @classmethod
    def of(cls, contest: Contest, width: int) -> "Scale | None":
        """Hold all values; None where there are not two, or no room, or a run diverged wildly."""
        values = [value for group in contest.groups for value in _values(group.outcomes)]
        room = min(WIDEST_SCALE, width - 4)
        if len(set(values)) < 2 or room < LEAST_SCALE:
            return None
        spread = SPREAD * (max(values) - min(values))
        low, high = min(values) - spread, max(values) + spread
        return cls(low, high, room) if math.isfinite(high - low) else None

    def legend(self) -> str:
        """Say which values the axis reaches from and to, and what its signs mean."""
        low, high = rounded(self._low), rounded(self._high)
        middle = "● mean  · seed  ─ 95 %".center(self._width - len(low) - len(high))
        return f"{low}{middle}{high}"

    def draw(self, group: Group) -> Content:
        """Draw an experiment's interval, its mean and each value."""
        cells = [" "] * self._width
        mean = group.mean
        if mean is not None and mean.low is not None and mean.high is not None:
            first, last = self._cell(mean.low), self._cell(mean.high)
            cells[first : last + 1] = "─" * (last + 1 - first)
            cells[first] = "├" if mean.low >= self._low else "◂"
            cells[last] = "┤" if mean.high <= self._high else "▸"
        for value in _values(group.outcomes):
            cells[self._cell(value)] = "·"
        if mean is not None:
            cells[self._cell(mean.mean)] = "●"
        return Content.styled("".join(cells), "$text-success" if group.is_best else "$text-primary")

    def _cell(self, value: float) -> int:
        place = (value - self._low) / (self._high - self._low)
        return min(self._width - 1, max(0, int(place * self._width)))


def _values(outcomes: Sequence[Outcome]) -> list[float]:
    return [
        outcome.row.value
        for outcome in outcomes
        if outcome.counts and outcome.row.value is not None
    ]
