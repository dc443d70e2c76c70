"""`rlmaster compare`: in what runs differ, and what each experiment came to over its seeds."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.arguments import JsonOption, RunsArgument, find_run_folder
from rlmaster.cli.runs import row_data, state_words
from rlmaster.cli.terminal import answer_json, say
from rlmaster.errors import UsageError

if TYPE_CHECKING:
    from rlmaster.cli.layout import Column
    from rlmaster.reports.comparison import Comparison, Contest, Group, Outcome
    from rlmaster.reports.statistics import Mean
    from rlmaster.run_folder import RunFolder
    from rlmaster.run_index.row import RunRow

BEST = "▲"


def compare_command(
    runs: RunsArgument,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw the curves of what they were measured by, and each experiment's mean.",
            metavar="FILE.png",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show in what runs differ, and what each experiment came to over its seeds.

    The interval is that of 95 % confidence for the mean, by Student's t.
    """
    from rlmaster.reports.comparison import compare

    found = [find_run_folder(run) for run in runs]
    folders = {folder.id: folder for folder, _ in found}
    if len(folders) < 2:
        raise UsageError("name two runs or more to compare; `rlmaster show RUN` shows one")
    comparison = compare([_row(folder) for folder in folders.values()])
    if plot is not None:
        _draw(plot, comparison, folders)
    if as_json:
        answer_json(_comparison_data(comparison, found[0][1]))
        return
    for line in _lines(comparison):
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    if comparison.unlike:
        say(f"not measured in the same way, and so not compared: {', '.join(comparison.unlike)}")


def _draw(path: Path, comparison: "Comparison", folders: "Mapping[str, RunFolder]") -> None:
    """Draw what can be compared; runs that were not measured in the same way cannot."""
    from rlmaster.reports.comparison_figure import draw_contest

    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is no name of a PNG file; --plot wants one that ends in .png")
    if comparison.unlike:
        raise UsageError(
            f"not measured in the same way ({', '.join(comparison.unlike)}), so one picture cannot "
            "show them; name runs that were"
        )
    draw_contest(path, comparison.contests[0], folders)


def _row(folder: "RunFolder") -> "RunRow":
    from rlmaster.run_index.row import read_row, readable_status

    return read_row(folder, readable_status(folder)[0])


def _comparison_data(comparison: "Comparison", runs: "Path") -> dict[str, Any]:
    """Return a comparison as JSON data."""
    return {
        "runs": [row_data(row, runs) for row in comparison.rows],
        "differences": {one.field: list(one.values) for one in comparison.differences},
        "same": comparison.same,
        "contests": [_contest_data(contest) for contest in comparison.contests],
        "unlike": list(comparison.unlike),
    }


def _contest_data(contest: "Contest") -> dict[str, Any]:
    return {
        "metric": contest.metric,
        "setting": contest.setting,
        "higher_is_better": contest.higher_is_better,
        "experiments": [_group_data(group) for group in contest.groups],
    }


def _group_data(group: "Group") -> dict[str, Any]:
    return {
        "name": group.name,
        "settings": group.settings,
        "is_best": group.is_best,
        "mean": asdict(group.mean) if group.mean else None,
        "runs": [_outcome_data(outcome) for outcome in group.outcomes],
    }


def _outcome_data(outcome: "Outcome") -> dict[str, Any]:
    row = outcome.row
    return {
        "run_id": row.id,
        "seed": outcome.seed,
        "state": row.state,
        "value": row.value,
        "counts": outcome.counts,
    }


# --------------------------------------------------------------------------------- for people


def _lines(comparison: "Comparison") -> Iterator[str]:
    from rlmaster.cli.layout import Column, is_coloured, one_line, table_lines, terminal_width

    width, coloured = terminal_width(), is_coloured()
    differences = comparison.differences
    columns = [Column("field", [one_line(one.field) for one in differences])]
    columns += [
        Column(one_line(row.short_id), [one_line(one.values[number]) or "–" for one in differences])
        for number, row in enumerate(comparison.rows)
    ]
    if differences:
        yield from table_lines(columns, None, coloured=coloured)
    yield f"{comparison.same} fields are the same"
    for contest in comparison.contests:
        yield ""
        yield _title(contest)
        yield from table_lines(_contest_columns(contest), width, coloured=coloured)


def _title(contest: "Contest") -> str:
    from rlmaster.cli.layout import one_line
    from rlmaster.reports.summary import metric_name

    setting = f" ({contest.setting})" if contest.setting else ""
    if not contest.metric:
        return one_line(f"No result yet{setting}")
    better = "higher" if contest.higher_is_better else "lower"
    return one_line(f"{metric_name(contest.metric)}{setting}, {better} is better")


def _contest_columns(contest: "Contest") -> "list[Column]":
    from rlmaster.cli.layout import Column, one_line
    from rlmaster.reports.summary import rounded

    groups = contest.groups
    means = [group.mean for group in groups]
    named = [one_line(f"{group.name} {group.settings}") for group in groups]
    marked = [
        f"{BEST if group.is_best else ' '} {name}"
        for group, name in zip(groups, named, strict=True)
    ]
    return [
        Column("  experiment", marked, least=16),
        Column("n", [str(mean.count if mean else 0) for mean in means]),
        Column("mean", [rounded(mean.mean) if mean else "" for mean in means]),
        Column("95 % interval", [_interval(mean) for mean in means], importance=1),
        Column("each seed", [_seeds(group.outcomes) for group in groups], 16, 2),
    ]


def _interval(mean: "Mean | None") -> str:
    """Return where the true mean may lie; nothing where that cannot be said."""
    from rlmaster.reports.summary import rounded

    if mean is None or mean.low is None or mean.high is None:
        return ""
    return f"{rounded(mean.low)} to {rounded(mean.high)}"


def _seeds(outcomes: "Sequence[Outcome]") -> str:
    return ", ".join(map(_outcome, outcomes))


def _outcome(outcome: "Outcome") -> str:
    from rlmaster.cli.layout import one_line
    from rlmaster.reports.summary import rounded

    row = outcome.row
    value = rounded(row.value) if row.value is not None else ""
    words = value if outcome.counts else f"({value or state_words(row)})"
    return one_line(f"{outcome.seed or '?'}: {words}")
