"""Several runs side by side: in what their configurations differ, and what each experiment came to.

Runs of one experiment differ by their seed alone and count together. Only what was measured in the
same way is compared: same game, protocol, budget, frames and metric.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from rlmaster.reports.statistics import Mean, mean_of
from rlmaster.run_index.row import RunRow
from rlmaster.run_status import State

SEED = "seed"
BESIDE_THE_POINT = frozenset({SEED, "name", "tags"})
"""Fields that do not tell experiments apart."""
METRIC = "metric"
"""Part of a yardstick that a run without a result does not know yet."""
MISSING = object()
"""Stands for the value of a field that a run does not have."""
MOST_SETTINGS = 3
"""Named to tell an experiment from the others."""


@dataclass(frozen=True)
class Difference:
    """A field of the configuration that is not the same in all runs."""

    field: str
    """Dotted name, such as `embedder.latent_dim`."""
    values: tuple[str, ...]
    """As text, one for each run; empty where the run has no such field."""


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    row: RunRow
    seed: str
    counts: bool
    """Whether it is in the mean: it is completed, and the newest of its seed."""


@dataclass(frozen=True)
class Group:
    """Runs that differ by their seed alone."""

    name: str
    """The experiment's name."""
    settings: str
    """What sets it apart from the others, such as `latent_dim=32`; empty where nothing does."""
    outcomes: tuple[Outcome, ...]
    """By seed."""
    mean: Mean | None
    is_best: bool = False
    """Whether its mean is the best of several."""


@dataclass(frozen=True)
class Contest:
    """Experiments that were measured in the same way, best first."""

    metric: str
    higher_is_better: bool
    groups: tuple[Group, ...]
    setting: str = ""
    """How it was measured, where others were not, such as `game=breakout`."""


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side."""

    rows: tuple[RunRow, ...]
    differences: tuple[Difference, ...]
    same: int
    """How many fields are the same in all runs."""
    contests: tuple[Contest, ...]
    """What cannot be compared stands apart."""
    unlike: tuple[str, ...]
    """Why it cannot: what was not the same in how runs were measured."""


def compare(rows: Sequence[RunRow]) -> Comparison:
    """Compare runs, in the order in which they are given."""
    differences, same = differing(rows)
    by_measure = _by_measure(rows)
    unlike = _unlike(by_measure)
    contests = [
        replace(_contest(runs), setting=_setting(measure, unlike))
        for measure, runs in by_measure.items()
    ]
    return Comparison(
        rows=tuple(rows),
        differences=differences,
        same=same,
        contests=tuple(contests),
        unlike=unlike,
    )


def _by_measure(rows: Sequence[RunRow]) -> dict[str, list[RunRow]]:
    """Gather what was measured in the same way; runs without a result go with their like."""
    metrics = {_measure(row, ""): row.metric for row in reversed(rows) if row.metric}
    found: dict[str, list[RunRow]] = {}
    for row in rows:
        metric = row.metric or metrics.get(_measure(row, ""), "")
        found.setdefault(_measure(row, metric), []).append(row)
    return found


def _measure(row: RunRow, metric: str) -> str:
    """Return a run's yardstick with another metric."""
    return json.dumps({**_parts(row.yardstick), METRIC: metric}, sort_keys=True)


def differing(rows: Sequence[RunRow]) -> tuple[tuple[Difference, ...], int]:
    """Return the fields in which runs differ, and how many are the same."""
    configs = [row.config for row in rows]
    names = dict.fromkeys(name for config in configs for name in config)
    found: list[Difference] = []
    for name in names:
        values = tuple(_text(config.get(name, MISSING)) for config in configs)
        if len(set(values)) > 1:
            found.append(Difference(name, values))
    return tuple(found), len(names) - len(found)


def _text(value: object) -> str:
    if value is MISSING:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _contest(rows: Sequence[RunRow]) -> Contest:
    """Put the experiments in order, best first; those without a result come last."""
    by_digest: dict[str, list[RunRow]] = {}
    for row in rows:
        by_digest.setdefault(row.digest or row.path, []).append(row)
    settings = _settings(by_digest)
    groups = [_group(runs, settings[key]) for key, runs in by_digest.items()]
    higher = any(row.higher_is_better for row in rows)
    groups.sort(key=lambda group: _rank(group, higher_is_better=higher))
    if sum(group.mean is not None for group in groups) > 1:
        groups[0] = replace(groups[0], is_best=True)
    metric = next((row.metric for row in rows if row.metric), "")
    return Contest(metric, higher, tuple(groups))


def _rank(group: Group, *, higher_is_better: bool) -> tuple[bool, float]:
    if group.mean is None:
        return True, 0.0
    return False, -group.mean.mean if higher_is_better else group.mean.mean


def _group(rows: Sequence[RunRow], settings: str) -> Group:
    newest = {_seed(row): row.id for row in sorted(rows, key=lambda row: row.id) if _ended(row)}
    outcomes = [Outcome(row, _seed(row), newest.get(_seed(row)) == row.id) for row in rows]
    outcomes.sort(key=lambda outcome: (len(outcome.seed), outcome.seed, outcome.row.id))
    values = [outcome.row.value for outcome in outcomes if outcome.counts]
    mean = mean_of([value for value in values if value is not None])
    return Group(rows[0].name, settings, tuple(outcomes), mean)


def _ended(row: RunRow) -> bool:
    return row.state is State.COMPLETED and row.value is not None


def _seed(row: RunRow) -> str:
    return _text(row.config.get(SEED, MISSING))


def _settings(groups: Mapping[str, Sequence[RunRow]]) -> dict[str, str]:
    """Return what tells each group from the others, under the group's key."""
    differences, _ = differing([rows[0] for rows in groups.values()])
    telling = [one for one in differences if one.field not in BESIDE_THE_POINT]
    telling.sort(key=lambda one: "" in one.values)  # what all of them have comes first
    return {
        key: ", ".join(
            f"{one.field.rpartition('.')[2]}={_short(one, number)}"
            for one in telling[:MOST_SETTINGS]
            if one.values[number]
        )
        for number, key in enumerate(groups)
    }


def _short(difference: Difference, number: int) -> str:
    """Return a value as one says it: of a type, the name of its class."""
    value = difference.values[number]
    return value.rpartition(":")[2] if difference.field.endswith(".type") else value


def _unlike(yardsticks: Iterable[str]) -> tuple[str, ...]:
    """Return in what yardsticks differ."""
    parts = [_parts(yardstick) for yardstick in yardsticks]
    names = dict.fromkeys(name for part in parts for name in part)
    return tuple(
        name for name in names if len({_text(part.get(name, MISSING)) for part in parts}) > 1
    )


def _setting(measure: str, unlike: Sequence[str]) -> str:
    """Say how runs were measured, where others were not."""
    parts = _parts(measure)
    told = [name for name in unlike if name != METRIC and name in parts][:MOST_SETTINGS]
    return ", ".join(f"{name.rpartition('.')[2]}={_text(parts[name])}" for name in told)


def _parts(yardstick: str) -> dict[str, Any]:
    try:
        found = json.loads(yardstick or "{}")
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
