"""How a finished run stands beside earlier ones that may be compared with it.

Comparable are runs of the same game, protocol, frames, budget and yardstick that finished earlier;
fewer than three say nothing. A sentence once written never changes.
"""

from collections.abc import Sequence
from pathlib import Path

from rlmaster.durable_files import read_json, write_json
from rlmaster.run_folder import RunFolder, list_runs
from rlmaster.run_status import State
from rlmaster.specification import flattened

FEWEST_TO_COMPARE = 3


def standing_sentence(run: RunFolder, runs: Path) -> str:
    """Return where a run stands, from its folder or, the first time, by comparing it.

    Empty for a run that came to no result. Earlier runs that cannot be read are passed over.

    Args:
        run: A run that has ended.
        runs: Where the project keeps its runs.
    """
    if known := run.standing():
        return known
    value = _value(run)
    if value is None or run.status().state is not State.COMPLETED:
        return ""
    sentence = compare(value, _comparable_values(run, runs))
    run.report.mkdir(exist_ok=True)
    write_json(run.standing_file, {"sentence": sentence})
    return sentence


def compare(value: float, earlier: Sequence[float]) -> str:
    """Say how an error stands among earlier ones; lower is better."""
    count = len(earlier)
    if count < FEWEST_TO_COMPARE:
        return f"too few earlier runs to compare with ({count} of {FEWEST_TO_COMPARE})"
    if value < min(earlier):
        return f"best so far of {count + 1} comparable runs"
    if value > max(earlier):
        return f"worst so far of {count + 1} comparable runs"
    place = sum(other < value for other in earlier) + 1
    return f"number {place} of {count + 1} comparable runs"


def _comparable_values(run: RunFolder, runs: Path) -> list[float]:
    """Return the results of completed runs that ended earlier and share the yardstick."""
    yardstick, ended = _yardstick(run), run.status().since
    values: list[float] = []
    for other in list_runs(runs):
        status, value = other.status(), _value(other)
        is_earlier = status.state is State.COMPLETED and status.since < ended
        if value is not None and is_earlier and _yardstick(other) == yardstick:
            values.append(value)
    return values


def _yardstick(run: RunFolder) -> list[object]:
    """Return what two runs must share to be compared."""
    config = flattened(read_json(run.config_file) or {})
    names = ("environment.game", "environment.protocol", "training.updates", "training.batch_size")
    frames = {name: value for name, value in config.items() if name.startswith("frames.")}
    return [*map(config.get, names), frames, run.progress().result.get("metric")]


def _value(run: RunFolder) -> float | None:
    value = run.progress().result.get("value")
    return float(value) if isinstance(value, int | float) else None
