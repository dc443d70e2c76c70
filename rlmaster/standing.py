"""How a finished run stands beside earlier ones that may be compared with it.

Comparable are runs of the same game, protocol, frames, budget and yardstick that finished earlier;
fewer than three say nothing. A sentence once written never changes.
"""

from collections.abc import Sequence
from pathlib import Path

from rlmaster.durable_files import JsonObject, read_json, write_json
from rlmaster.run_folder import RunFolder, State, list_runs

FEWEST_TO_COMPARE = 3


def standing_sentence(run: RunFolder, runs: Path) -> str:
    """Return where a completed run stands, from its folder or, the first time, by comparing it.

    Args:
        run: A run with a result.
        runs: Where the project keeps its runs.
    """
    file = run.report / "standing.json"
    if known := read_json(file):
        return str(known["sentence"])
    sentence = compare(_value(run), [_value(other) for other in _comparable(run, runs)])
    run.report.mkdir(exist_ok=True)
    write_json(file, {"sentence": sentence})
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


def _comparable(run: RunFolder, runs: Path) -> list[RunFolder]:
    yardstick, ended = _yardstick(run.config(), run), run.status().since
    return [
        other
        for other in list_runs(runs)
        if other.id != run.id
        and (status := other.status()).state is State.COMPLETED
        and status.since < ended
        and other.progress().result
        and _yardstick(other.config(), other) == yardstick
    ]


def _yardstick(config: JsonObject, run: RunFolder) -> tuple[object, ...]:
    environment, training = config.get("environment", {}), config.get("training", {})
    frames = config.get("frames")
    budget = (training.get("updates"), training.get("batch_size"))
    metric = run.progress().result.get("metric")
    return environment.get("game"), environment.get("protocol"), frames, budget, metric


def _value(run: RunFolder) -> float:
    return float(run.progress().result["value"])
