"""How long a free slot stays free: from the end of one run to the start of the next that waits.

    python benchmarks/queue_start.py [--runs 11]

Runs with a training that ends at once wait for one slot. The gap is read from their status files:
from the state that one run ended in to the state `running` of the next. It holds the queue runner's
look every tenth of a second and the start of the worker's Python.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from rlmaster.hosts.queue import Queue
from rlmaster.hosts.slots import SlotRules
from rlmaster.lifecycle import enqueue, wake_queue_runner
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import FINAL_STATES, State
from rlmaster.snapshot import PACKAGE


def code_that_ends_at_once(folder: Path) -> None:
    """Copy the package, with a training that has nothing to do."""
    package = folder / "rlmaster"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "training"))
    (package / "training").mkdir()
    (package / "training" / "__init__.py").touch()
    (package / "training" / "__main__.py").write_text('"""Nothing to do."""\n')


def queued_run(runs: Path, number: int) -> RunFolder:
    """Make a run that waits."""
    here = os.uname().nodename
    run = RunFolder.create(
        runs,
        config={"name": f"run-{number:03}"},
        rationale="to measure",
        provenance={
            "snapshot": {"digest": "code"},
            "script": "",
            "host_choice": {"computer": here, "python": sys.executable, "threads": 1},
        },
        digests={},
        differs_from_default=[],
    )
    enqueue(run, run.status().enter(State.QUEUED, host=here))
    return run


def gaps_s(runs: list[RunFolder]) -> list[float]:
    """Return the seconds between the end of each run and the start of the next."""
    attempts = [run.attempts()[0] for run in runs]
    starts = sorted(datetime.fromisoformat(attempt["start"]) for attempt in attempts)
    ends = sorted(datetime.fromisoformat(attempt["end"]) for attempt in attempts)
    return [
        (start - end).total_seconds()
        for (_, start), end in zip(pairwise(starts), ends, strict=False)
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=11, help="runs that wait for one slot")
    count = parser.parse_args().runs
    # The followers that workers start may still be at their reports when all is measured.
    with tempfile.TemporaryDirectory(prefix="rlmaster-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        os.environ |= {
            "XDG_STATE_HOME": str(folder / "state"),
            "RLMASTER_LOCKS": scratch,
            "RLMASTER_CONFIG": os.devnull,
            "RLMASTER_TMUX_SOCKET": folder.name,
        }
        code_that_ends_at_once(folder / "runs" / ".snapshots" / "code")
        Queue.here().write_rules(SlotRules(cpu_slots=1))
        runs = [queued_run(folder / "runs", number) for number in range(count)]
        wake_queue_runner()
        while any(run.status().state not in FINAL_STATES for run in runs):
            time.sleep(0.05)
        found = sorted(gaps_s(runs))
        while not all(run.report_tex.exists() for run in runs):
            time.sleep(0.05)
    print(f"from a slot's freeing to the next run's start, {len(found)} times:")
    print(f"  median {statistics.median(found):.2f} s, least {found[0]:.2f}, most {found[-1]:.2f}")


if __name__ == "__main__":
    main()
