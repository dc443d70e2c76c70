"""How long `rlmaster runs` and `rlmaster show` take over many runs, from the prompt to its return.

Makes run folders with the small files that a finished run has, over several experiments, in a
temporary folder. Prints medians of whole processes: cold, with the index deleted before each (the
run folders are in the page cache, since they were just made), and warm.

    .venv/bin/python benchmarks/run_index.py --runs 10000
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _many_runs import EXPERIMENTS_PER_GAME, GAMES, make_runs


def main() -> None:
    """Make the runs, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5, help="processes in each median")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rlmaster-benchmark-"))
    try:
        (folder / "experiments").mkdir()
        (folder / "hosts.toml").write_text('[hosts.local]\nkind = "local"\n')
        names = make_runs(folder / "runs", arguments.runs)
        print(
            f"{arguments.runs:,} runs in {len(GAMES) * EXPERIMENTS_PER_GAME} experiments; seconds"
        )
        _measure(folder, names, arguments.rounds)
    finally:
        shutil.rmtree(folder)


def _measure(project: Path, short_ids: list[str], rounds: int) -> None:
    some = short_ids[len(short_ids) // 2]
    index = project / "runs" / ".index.sqlite"
    commands = {
        "runs": ["runs", "--limit", "40"],
        "runs, one filter": ["runs", "--limit", "40", "embedder.latent_dim:64"],
        "runs, one word": ["runs", "--limit", "40", "latent"],
        "runs --json": ["runs", "--json"],
        "show": ["show", some],
    }
    for name, command in commands.items():
        if name in ("runs", "show"):
            _print(f"{name}, cold", rounds, project, command, index.unlink)
        _print(f"{name}, warm", rounds, project, command)
    print(f"index: {index.stat().st_size / 1e6:.1f} MB")


def _print(
    name: str,
    rounds: int,
    project: Path,
    command: list[str],
    before: Callable[[], object] = bool,
) -> None:
    subprocess.run(
        [sys.executable, "-m", "rlmaster", *command], cwd=project, check=True, capture_output=True
    )
    taken: list[float] = []
    for _ in range(rounds):
        before()
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "rlmaster", *command],
            cwd=project,
            env={**os.environ, "COLUMNS": "120"},
            check=True,
            capture_output=True,
        )
        taken.append(time.perf_counter() - start)
    spread = f"{min(taken):.3f} to {max(taken):.3f}"
    print(f"{name:24} {statistics.median(taken):8.3f}   (median of {rounds}, {spread})", flush=True)


if __name__ == "__main__":
    main()
