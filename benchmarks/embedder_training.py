"""How close training comes to the bare forward, backward and optimiser step.

Prints updates per second of the whole training loop (batches from the replay, curves, progress,
events) as a share of the same update on one batch that stays in memory, both in this process,
interleaved.

    .venv/bin/python benchmarks/embedder_training.py
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from rlmaster.embedders.base import FrameBatch
from rlmaster.experiment import Atari, Autoencoder, Experiment, RandomFrames
from rlmaster.experiment import EmbedderTraining as Updates
from rlmaster.run_folder import RunFolder
from rlmaster.training.embedder_training import EmbedderTraining
from rlmaster.training.evaluation import BACKGROUND_FRAMES, evenly_chosen
from rlmaster.training.frames import FrameCollection
from rlmaster.training.recording import Recording


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved measurements of each")
    parser.add_argument("--updates", type=int, default=60, help="updates in a measurement")
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    experiment = Experiment(
        name="benchmark",
        environment=Atari(game="Pong"),
        frames=RandomFrames(steps=20_000),
        embedder=Autoencoder(),
        training=Updates(
            updates=arguments.rounds * arguments.updates, batch_size=arguments.batch_size
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(
            Path(folder),
            config=experiment.to_data(),
            rationale="benchmark",
            provenance={},
            digests={},
            differs_from_default=[],
        )
        recording = Recording(run)
        loop, bare = _measure(experiment, run, recording, arguments)
        recording.close()
    ratio = statistics.median(a / b for a, b in zip(loop, bare, strict=True))
    print(f"training loop {statistics.median(loop):8.1f} updates/s")
    print(f"bare update   {statistics.median(bare):8.1f} updates/s")
    print(f"ratio         {ratio:8.2f} (median of {len(loop)} interleaved pairs; goal 0.90)")


def _measure(
    experiment: Experiment, run: RunFolder, recording: Recording, arguments: argparse.Namespace
) -> tuple[list[float], list[float]]:
    # The parts of a training, without its evaluations, checkpoints and pictures.
    training = EmbedderTraining(experiment, run, recording)
    frames = FrameCollection(
        experiment, run, recording, training.device, recording.advance, learned_from=False
    )
    store = frames.complete()
    train, _ = store.split_episodes(0.1, seed=1)
    indices = store.frame_indices(train)
    embedder = training._build()
    embedder.prepare(store.frames_at(evenly_chosen(indices, BACKGROUND_FRAMES)))
    batches = training._batches(store, indices)
    learner = training._learner(embedder, batches, None)
    update = training._make_update(learner)
    resident = FrameBatch(store.frames_at(indices[: arguments.batch_size]))
    whole_loop = training._updates(learner, batches, 0)
    loop: list[float] = []
    bare: list[float] = []
    for _ in range(arguments.rounds):
        loop.append(_rate(whole_loop, arguments.updates))
        bare.append(_rate((update(resident) for _ in itertools.count()), arguments.updates))
    return loop, bare


def _rate(updates: Iterator[object], count: int) -> float:
    start = time.perf_counter()
    for _ in itertools.islice(updates, count):
        pass
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
