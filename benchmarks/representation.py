"""How fast an embedder trains, beside the bare update and beside the obvious way to write it.

Prints frames per second of

* the whole training loop: batches from the replay, curves, progress, events;
* the bare update: forward, backward and optimiser on one batch that stays in memory;
* the obvious way, with the same networks and with the decoder that mirrors the encoder: float32,
  contiguous, batches from a DataLoader with two workers, Adam as it comes;

all in this process, interleaved, and the ratios of medians.

    .venv/bin/python benchmarks/representation.py
"""

import argparse
import copy
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rlmaster import embedder_choices
from rlmaster.embedders.base import BaseEmbedder
from rlmaster.experiment import Atari, Experiment
from rlmaster.experiment import EmbedderTraining as Updates
from rlmaster.frame_sources import RandomFrames
from rlmaster.replay.batches import SequenceBatch
from rlmaster.replay.dataset import FrameDataset
from rlmaster.replay.frame_store import FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.training.batches import Batches
from rlmaster.training.embedder_training import EmbedderTraining
from rlmaster.training.evaluation import BACKGROUND_FRAMES, evenly_chosen
from rlmaster.training.frames import FrameCollection
from rlmaster.training.recording import Recording

LOADER_WORKERS = 2

Ways = dict[str, Iterator[object]]
"""What does one update each time that it is asked for the next, by its name."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", default="Autoencoder", help="class in embedder_choices")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved measurements of each")
    parser.add_argument("--updates", type=int, default=60, help="updates in a measurement")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20_000, help="agent steps to collect")
    parser.add_argument("--compile", default="auto", choices=["auto", "always", "never"])
    arguments = parser.parse_args()
    experiment = _experiment(arguments)
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
        frames_per_s = _measure(_ways(experiment, run, recording), arguments)
        recording.close()
    _print(frames_per_s)


def _experiment(arguments: argparse.Namespace) -> Experiment:
    return Experiment(
        name="benchmark",
        environment=Atari(game="Pong"),
        frames=RandomFrames(steps=arguments.steps),
        embedder=getattr(embedder_choices, arguments.embedder)(),
        training=Updates(
            updates=(arguments.rounds + 1) * arguments.updates,
            batch_size=arguments.batch_size,
            compile=arguments.compile,
        ),
    )


def _ways(experiment: Experiment, run: RunFolder, recording: Recording) -> Ways:
    """Return the ways to train, all on the same frames."""
    training = EmbedderTraining(experiment, run, recording)
    frames = FrameCollection(
        experiment, run, recording, training.device, recording.advance, learned_from=False
    )
    store = frames.complete()
    train, _ = store.split_episodes(0.1, seed=1)
    indices = store.frame_indices(train)
    embedder = training._build()
    embedder.prepare(store.frames_at(evenly_chosen(indices, BACKGROUND_FRAMES)))
    plain = copy.deepcopy(embedder)
    batches = Batches(store, train, embedder, batch_size=experiment.training.batch_size, seed=1)
    learner = training._learner(embedder, batches, None)
    resident = store.sequences_at(
        indices[-experiment.training.batch_size :], embedder.sequence_length
    )
    update = training._make_update(embedder, learner)
    ways: Ways = {
        "training loop": training._updates(embedder, learner, batches, 0),
        "bare update": (update(resident) for _ in itertools.count()),
    }
    if embedder.sequence_length == 1:
        ways |= {
            "obvious way, same networks": _obvious_way(_same_networks(plain), store, experiment),
            "obvious way, mirrored decoder": _obvious_way(_mirrored(), store, experiment),
        }
    return ways


def _obvious_way(
    loss_of: tuple[nn.Module, Callable[[Tensor], Tensor]], store: FrameStore, experiment: Experiment
) -> Iterator[object]:
    """Train as a tutorial would."""
    module, loss_function = loss_of
    device = store.device
    module = module.to(device)
    for weight in module.parameters():
        weight.data = weight.data.contiguous()
    optimiser = torch.optim.Adam(module.parameters(), lr=experiment.training.learning_rate)
    on_host = FrameStore(store.num_environments, capacity_rows=store.num_rows)
    on_host.frames.copy_(store.frames[: store.num_rows])
    on_host.num_rows = store.num_rows
    on_host.episode_start[:] = store.episode_start[: store.num_rows]
    loader = DataLoader(
        FrameDataset(on_host),
        batch_size=experiment.training.batch_size,
        shuffle=True,
        num_workers=LOADER_WORKERS,
    )
    while True:
        for frames in loader:
            loss = loss_function(frames.to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            yield loss


def _same_networks(embedder: BaseEmbedder) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Return our own networks and loss, without what makes them fast."""

    def loss(frames: Tensor) -> Tensor:
        stored = (frames * 255).to(torch.uint8)
        return embedder.loss(SequenceBatch.of_frames(stored)).total

    return embedder, loss


def _mirrored() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Return the Nature encoder and its mirror image, with plain mean squared error."""
    module = nn.Sequential(
        nn.Conv2d(1, 32, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 256),
        nn.Linear(256, 64 * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 64, 3),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 8, stride=4),
    )
    return module, lambda frames: (module(frames) - frames).square().mean()


def _measure(ways: Ways, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Return frames per second of each way in each round, after one that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(arguments.rounds + 1):
        for name, updates in ways.items():
            rate = _updates_per_s(updates, arguments.updates) * arguments.batch_size
            if number > 0:
                rates[name].append(rate)
    return rates


def _updates_per_s(updates: Iterator[object], count: int) -> float:
    start = time.perf_counter()
    for _ in itertools.islice(updates, count):
        pass
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return count / (time.perf_counter() - start)


def _print(frames_per_s: dict[str, list[float]]) -> None:
    loop = frames_per_s["training loop"]
    print(f"{'':32} {'frames/s':>9}   training loop is so many times as fast (goal)")
    goals = {"bare update": "0.95", "obvious way, same networks": "3"}
    for name, rates in frames_per_s.items():
        ratio = statistics.median(a / b for a, b in zip(loop, rates, strict=True))
        goal = f" ({goals[name]})" if name in goals else ""
        print(f"{name:32} {statistics.median(rates):9,.0f}   {ratio:.2f}{goal}")


if __name__ == "__main__":
    main()
