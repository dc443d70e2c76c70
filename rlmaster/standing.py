"""How a finished run stands beside earlier ones that may be compared with it.

Comparable are runs of the same game, protocol, budget and metric that completed earlier, and of the
same frames where it is these that the metric measures, except repeats of the same experiment and
seed; fewer than three say nothing. A sentence once written never changes.
"""

from collections.abc import Sequence
from pathlib import Path

from rlmaster.durable_files import write_json
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_status import State

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
    with RunIndex(runs) as index:
        index.sync()
        index.refresh(run)
        row = index.row(run)
        if row is None or row.value is None or row.state is not State.COMPLETED:
            return ""
        earlier = index.comparable_values(row)
        sentence = compare(row.value, earlier, higher_is_better=row.higher_is_better)
        if known := run.standing():  # somebody else was faster
            return known
        run.report.mkdir(exist_ok=True)
        write_json(run.standing_file, {"sentence": sentence})
        index.refresh(run)
    return sentence


def compare(value: float, earlier: Sequence[float], *, higher_is_better: bool = False) -> str:
    """Say how a result stands among earlier ones.

    Args:
        value: The result.
        earlier: Results of the runs to compare it with.
        higher_is_better: Whether it is one like a score, and not one like an error.
    """
    count = len(earlier)
    if count < FEWEST_TO_COMPARE:
        return f"too few earlier runs to compare with ({count} of {FEWEST_TO_COMPARE})"
    better = sum(other > value if higher_is_better else other < value for other in earlier)
    among = f"of {count + 1} comparable runs"
    if value in earlier:
        return f"shares place {better + 1} {among}"
    if better == 0:
        return f"best so far {among}"
    if better == count:
        return f"worst so far {among}"
    return f"number {better + 1} {among}"
