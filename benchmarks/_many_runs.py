"""Many run folders with the small files that a run has: what lists are measured with."""

import random
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


def make_runs(runs: Path, count: int) -> list[str]:
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
