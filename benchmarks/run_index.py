"""How long `rlmaster runs` and `rlmaster show` take over many runs, from the prompt to its return.

Makes run folders with the small files that a finished run has, over several experiments, in a
temporary folder. Prints medians of whole processes: cold, with the index deleted before each (the
run folders are in the page cache, since they were just made), and warm.

    .venv/bin/python benchmarks/run_index.py --runs 10000
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rlmaster.durable_files import write_json
from rlmaster.experiment import Atari, Autoencoder, EmbedderTraining, Experiment
from rlmaster.run_folder import ID_CHARACTERS, ID_TIME, Progress, RunFolder
from rlmaster.run_status import State, Status

GAMES = ("pong", "breakout", "seaquest", "ms_pacman", "qbert")
EXPERIMENTS_PER_GAME = 4
ACTIVE_RUNS = 3
"""Runs that are under way, which each list reads again."""
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


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
        names = _make_runs(folder / "runs", arguments.runs)
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


# ------------------------------------------------------------------------------- synthetic runs


def _make_runs(runs: Path, count: int) -> list[str]:
    """Make run folders and return their six characters, oldest first."""
    chance = random.Random(1)
    experiments = [
        Experiment(
            name=f"{game}-autoencoder-{number}",
            environment=Atari(game=game),
            embedder=Autoencoder(latent_dim=chance.choice((32, 64, 128, 256))),
            training=EmbedderTraining(updates=5000 * number),
        )
        for game in GAMES
        for number in range(1, EXPERIMENTS_PER_GAME + 1)
    ]
    configs = [experiment.to_data() for experiment in experiments]
    made: list[str] = []
    for number in range(count):
        config = configs[number % len(configs)]
        created = BEGUN + timedelta(minutes=number)
        characters = "".join(chance.choices(ID_CHARACTERS, k=6))
        run = RunFolder(runs / config["name"] / f"{created.strftime(ID_TIME)}-{characters}")
        state = State.RUNNING if number >= count - ACTIVE_RUNS else State.COMPLETED
        _fill(run, {**config, "seed": number}, created, state, chance)
        made.append(run.short_id)
    return made


def _fill(
    run: RunFolder,
    config: dict[str, object],
    created: datetime,
    state: State,
    chance: random.Random,
) -> None:
    """Write the small files of a run."""
    for inner in (run.requests, run.worker_events.parent, run.previews, run.report):
        inner.mkdir(parents=True)
    error = 0.001 * chance.random()
    write_json(run.config_file, config)
    run.rationale_file.write_text("Does a smaller latent still draw the ball, and how early?\n")
    write_json(
        run.provenance_file, {"script": "experiments/x.py", "snapshot": {"digest": "0" * 64}}
    )
    run.write_status(
        Status(
            state,
            since=(created + timedelta(minutes=3)).isoformat(timespec="milliseconds"),
            host="another-computer",
            slot="cpu:0",
        )
    )
    run.write_progress(
        Progress(
            phase="training",
            step=3000,
            total=3000,
            rate_per_s=25.0,
            values={"train/loss": error, "held_out/error": error},
            result={"metric": "held_out/error", "value": error, "before": 0.0127, "best": error},
        )
    )
    write_json(run.standing_file, {"sentence": "number 4 of 17 comparable runs"})
    write_json(
        run.run_file,
        {
            "schema_version": 1,
            "id": run.id,
            "name": run.name,
            "created": created.isoformat(timespec="milliseconds"),
            "parents": [],
            "study": None,
            "digests": {"experiment": "0" * 64, "snapshot": "0" * 64},
            "differs_from_default": ["embedder.latent_dim"],
        },
    )


if __name__ == "__main__":
    main()
