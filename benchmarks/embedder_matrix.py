"""What embedders keep of frames, by what they were trained on and what they are measured on.

For each game, seed, frame source and embedder one run is made as any other; then each is measured
on the canonical frames of its game and on the held-out frames of every source. All of it can be cut
and started again: runs that are there are not made a second time.

    .venv/bin/python benchmarks/embedder_matrix.py --folder build/matrix --processes 2

makes all, and prints the tables of docs/representations.md. A single row:

    ... --game pong --source random --embedder Autoencoder --seed 1
"""

import argparse
import itertools
import statistics
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from rlmaster import embedder_choices
from rlmaster.atari.ball import Ball, BallBoxes
from rlmaster.durable_files import read_json, write_json
from rlmaster.experiment import Atari, EmbedderTraining, Experiment, Recording
from rlmaster.frame_sources import AgentFrames, PlayedFrames, RandomFrames, UniformStateFrames
from rlmaster.replay.frame_store import FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.specification import resolve
from rlmaster.training import embedder_training, recording
from rlmaster.training.canonical import canonical_frames
from rlmaster.training.evaluation import MeasuredFrames, held_out_frames
from rlmaster.training.kept_networks import load_embedder
from rlmaster.training.seeds import seeds_from
from rlmaster.training.update import best_device

GAMES = ("pong", "breakout")
SOURCES: dict[str, type[PlayedFrames]] = {
    "random": RandomFrames,
    "agent": AgentFrames,
    "uniform": UniformStateFrames,
}
EMBEDDERS = (
    "Autoencoder",
    "VariationalAutoencoder",
    "ForwardPredictor",
    "InverseDynamics",
    "RandomEncoder",
)
SEEDS = (1, 2, 3)
CANONICAL = "canonical"
MEASURED = "matrix.json"
"""In a run's folder, once it is measured."""
MEASURES: tuple[tuple[str, Callable[[dict[str, Any]], float], int], ...] = (
    ("Error of the whole frame, times 10⁴", lambda errors: errors["error"] * 1e4, 2),
    ("Error within the ball's box, times 10²", lambda errors: errors["ball"]["error"] * 1e2, 2),
    ("Ball found, per cent", lambda errors: errors["ball"]["found"] * 100, 1),
)
"""What a table shows, and with how many digits, of a run's errors on some frames."""


@dataclass(frozen=True)
class Row:
    """One run."""

    game: str
    source: str
    embedder: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its experiment."""
        return f"{self.game}-{self.source}-{self.embedder}-{self.seed}"


@dataclass(frozen=True)
class Budget:
    """What every run is given, and where."""

    folder: Path
    steps: int
    updates: int
    batch_size: int
    threads: int


def experiment_of(row: Row, budget: Budget) -> Experiment:
    """Return what a run does: every field that is not named here is at its default."""
    return Experiment(
        name=row.name,
        environment=Atari(game=row.game),
        frames=SOURCES[row.source](steps=budget.steps),
        embedder=getattr(embedder_choices, row.embedder)(),
        training=EmbedderTraining(
            updates=budget.updates, batch_size=budget.batch_size, evaluations=3
        ),
        recording=Recording(video_episodes=0, checkpoints=1),
        seed=row.seed,
    )


def run_of(row: Row, budget: Budget) -> RunFolder | None:
    """Return the run of a row, if it was begun."""
    folders = sorted((budget.folder / "runs" / row.name).glob("*-*"))
    return RunFolder(folders[-1]) if folders else None


def is_trained(run: RunFolder | None, budget: Budget) -> bool:
    """Tell whether a run has come to its result."""
    return run is not None and run.progress().result.get("step") == budget.updates


def train(row: Row, budget: Budget) -> None:
    """Make a run, or go on with it."""
    torch.set_num_threads(budget.threads)
    run = run_of(row, budget)
    if is_trained(run, budget):
        return
    experiment = experiment_of(row, budget)
    if run is None:
        run = RunFolder.create(
            budget.folder / "runs",
            config=experiment.to_data(),
            rationale="A row of docs/representations.md.",
            provenance={},
            digests={},
            differs_from_default=[],
        )
    kept = recording.Recording(run)
    try:
        embedder_training.EmbedderTraining(experiment, run, kept).execute()
    finally:
        kept.close()


def measure(game: str, seed: int, embedders: Sequence[str], budget: Budget) -> None:
    """Measure all runs of a game and a seed, on the canonical frames and on each other's.

    What is measured on all of them already stays as it is.

    Raises:
        TrainingError: If this emulator shows other frames than those that were collected.
    """
    torch.set_num_threads(budget.threads)
    rows = [Row(game, s, e, seed) for s, e in itertools.product(SOURCES, embedders)]
    trained = {row: run for row in rows if (run := run_of(row, budget)) and is_trained(run, budget)}
    wanted = {CANONICAL, *(row.source for row in trained)}
    if all((_errors_of(row, budget) or {}).keys() == wanted for row in trained):
        return
    device = best_device()
    stores: dict[str, tuple[FrameStore, BallBoxes]] = {}
    for row, run in trained.items():
        if row.source not in stores:
            store = FrameStore.load(run.replay, device=device)
            stores[row.source] = store, _balls(store, experiment_of(row, budget), run)
    canonical = canonical_frames(Atari(game=game), device).measured()
    for row, run in trained.items():
        experiment = experiment_of(row, budget)
        embedder, _ = load_embedder(run, experiment, "newest", print)
        frames: dict[str, MeasuredFrames] = {CANONICAL: canonical}
        for source, (store, balls) in stores.items():
            split = store.split_episodes(experiment.frames.held_out_share, seeds_from(seed).split)
            frames[source] = held_out_frames(store, *split, embedder, balls)
        errors = {name: asdict(measured.measure(embedder)) for name, measured in frames.items()}
        write_json(run.path / MEASURED, {"row": asdict(row), "errors": errors})


def _balls(store: FrameStore, experiment: Experiment, run: RunFolder) -> BallBoxes:
    """Return where the ball is in each frame of a store, by its index.

    An episode's last frame, whose memory is a step ahead, counts as one without a ball.
    """
    collector = resolve(experiment.frames.builds)(experiment.frames, experiment, run.replay)
    ram = collector.label(store, store.num_rows, lambda _row: None)
    balls = Ball(experiment.environment.game).boxes(ram.reshape(-1, ram.shape[-1]))
    kept = slice(0, store.num_rows)
    is_last = (store.terminated[kept] | store.truncated[kept]).ravel()
    return balls._replace(visible=balls.visible & ~is_last)


# --------------------------------------------------------------------------------------- the whole


def main() -> int:
    """Make what is missing, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/matrix"))
    parser.add_argument("--game", action="append", choices=GAMES)
    parser.add_argument("--source", action="append", choices=SOURCES)
    parser.add_argument("--embedder", action="append", choices=EMBEDDERS)
    parser.add_argument("--seed", action="append", type=int)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    chosen = parser.parse_args()
    budget = Budget(chosen.folder, chosen.steps, chosen.updates, chosen.batch_size, chosen.threads)
    games, seeds = chosen.game or GAMES, chosen.seed or SEEDS
    sources, embedders = chosen.source or tuple(SOURCES), chosen.embedder or EMBEDDERS
    rows = list(itertools.starmap(Row, itertools.product(games, sources, embedders, seeds)))
    # The first of each source collects the frames, and the others then take those.
    first = [row for row in rows if row.embedder == embedders[0]]
    others = [row for row in rows if row.embedder != embedders[0]]
    with ProcessPoolExecutor(chosen.processes, get_context("spawn")) as pool:
        failures = sum(
            _do_all(pool, train, ((row, budget) for row in part)) for part in (first, others)
        )
        pairs = itertools.product(games, seeds)
        failures += _do_all(pool, measure, ((*pair, embedders, budget) for pair in pairs))
    for game in games:
        _print_table(game, [row for row in rows if row.game == game], budget)
    return 1 if failures else 0


def _do_all(
    pool: ProcessPoolExecutor, work: Callable[..., None], arguments: Iterable[tuple[Any, ...]]
) -> int:
    """Do work for each of some arguments, say of each that it is done, and count the failures."""
    failures = 0
    pending = [(each, pool.submit(work, *each)) for each in arguments]
    for number, (each, future) in enumerate(pending, start=1):
        try:
            future.result()
            said = "done"
        except Exception:  # one that fails is shown, and does not cost the others
            failures, said = failures + 1, traceback.format_exc()
        sys.stderr.write(f"{work.__name__} {number}/{len(pending)} {each[0]}: {said}\n")
    return failures


# ------------------------------------------------------------------------------------------- tables


def _print_table(game: str, rows: Sequence[Row], budget: Budget) -> None:
    """Print a game's tables in Markdown: a line for an embedder and what it was trained on."""
    print(f"\n## {game.title()}")
    columns = [CANONICAL, *SOURCES]
    for title, value_of, digits in MEASURES:
        print(f"\n### {title}\n")
        print("| embedder | trained on | " + " | ".join(columns) + " |")
        print("|---" * (2 + len(columns)) + "|")
        for embedder, source in dict.fromkeys((row.embedder, row.source) for row in rows):
            same = [row for row in rows if (row.embedder, row.source) == (embedder, source)]
            found = [errors for row in same if (errors := _errors_of(row, budget))]
            cells = [_cell([value_of(e[c]) for e in found if c in e], digits) for c in columns]
            print(f"| {embedder} | {source} | " + " | ".join(cells) + " |")


def _errors_of(row: Row, budget: Budget) -> dict[str, Any] | None:
    run = run_of(row, budget)
    found = read_json(run.path / MEASURED) if run else None
    return found["errors"] if found else None


def _cell(values: Sequence[float], digits: int) -> str:
    """Return a mean and, in brackets, the value of each seed."""
    if not values:
        return ""
    each = ", ".join(f"{value:.{digits}f}" for value in values)
    return f"**{statistics.fmean(values):.{digits}f}** ({each})"


if __name__ == "__main__":
    sys.exit(main())
