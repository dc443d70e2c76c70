"""How fast an embedder trains, beside the bare update and beside the obvious way to write it.

Prints frames per second of

* the whole training loop: batches from the replay, curves, progress, events;
* the bare update: forward, backward and optimiser on one batch that stays in memory;
* the obvious way, with the same networks and with the decoder that mirrors the encoder: float32,
  contiguous, batches from a DataLoader with two workers, Adam as it comes;

each in a process of its own, in turn, and the ratios of medians.

    .venv/bin/python benchmarks/representation.py
"""

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import torch
from _own_process import OwnProcess
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rlmaster import embedder_choices
from rlmaster.embedders.base import BaseEmbedder
from rlmaster.experiment import Atari, Experiment, observed_frames
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
from rlmaster.training.process import prepare_process
from rlmaster.training.recording import Recording

LOADER_WORKERS = 2

LOOP, BARE = OURS = ("training loop", "bare update")
SAME_NETWORKS, _ = OBVIOUS = (
    "obvious way, same networks",
    "obvious way, mirrored decoder",
)


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
    with ExitStack() as stack:
        ways = {name: OwnProcess(Way, name, arguments) for name in _names(arguments)}
        for way in ways.values():
            stack.callback(way.close)
        frames_per_s = _measure(ways, arguments)
    _print(frames_per_s)


class Way:
    """One of the ways to train, on frames of its own that are the same for all."""

    settings = ""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        """Collect frames, and do no update yet."""
        if name in OURS:
            prepare_process()
        self._folder = tempfile.TemporaryDirectory()
        experiment = _experiment(arguments)
        run = RunFolder.create(
            Path(self._folder.name),
            config=experiment.to_data(),
            rationale="benchmark",
            provenance={},
            digests={},
            differs_from_default=[],
        )
        self._recording = Recording(run)
        self._updates = _way(name, experiment, run, self._recording)

    def advance(self, steps: int) -> int:
        """Do so many updates."""
        for _ in itertools.islice(self._updates, steps):
            pass
        return steps

    def close(self) -> None:
        """Write what is left, and remove it."""
        self._recording.close()
        self._folder.cleanup()


def _names(arguments: argparse.Namespace) -> list[str]:
    embedder = getattr(embedder_choices, arguments.embedder)()
    return [*OURS, *(OBVIOUS if observed_frames(embedder) == 1 else ())]


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


def _way(
    name: str, experiment: Experiment, run: RunFolder, recording: Recording
) -> Iterator[object]:
    """Return what does one update each time that it is asked for the next."""
    training = EmbedderTraining(experiment, run, recording)
    frames = FrameCollection(
        experiment, run, recording, training.device, recording.advance, learned_from=False
    )
    store = frames.complete()
    train, _ = store.split_episodes(0.1, seed=1)
    indices = store.frame_indices(train)
    embedder = training._build()
    embedder.prepare(store.frames_at(evenly_chosen(indices, BACKGROUND_FRAMES)))
    if name in OBVIOUS:
        loss_of = _same_networks(embedder) if name == SAME_NETWORKS else _mirrored()
        return _obvious_way(loss_of, store, experiment)
    batch_size = experiment.training.batch_size
    batches = Batches(store, train, embedder, batch_size=batch_size, seed=1)
    learner = training._learner(embedder, batches, None)
    if name == LOOP:
        return training._updates(embedder, learner, batches, 0)
    resident = store.sequences_at(indices[-batch_size:], embedder.sequence_length)
    update = training._make_update(embedder, learner)
    return (update(resident) for _ in itertools.count())


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


def _measure(ways: dict[str, OwnProcess], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Return frames per second of each way in each round, after one that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(arguments.rounds + 1):
        for name, way in ways.items():
            rate = way.advance(arguments.updates).steps_per_s * arguments.batch_size
            if number > 0:
                rates[name].append(rate)
    return rates


def _print(frames_per_s: dict[str, list[float]]) -> None:
    loop = frames_per_s[LOOP]
    print(f"{'':32} {'frames/s':>9}   training loop is so many times as fast (goal)")
    goals = {BARE: "0.95", SAME_NETWORKS: "3"}
    for name, rates in frames_per_s.items():
        ratio = statistics.median(a / b for a, b in zip(loop, rates, strict=True))
        goal = f" ({goals[name]})" if name in goals else ""
        print(f"{name:32} {statistics.median(rates):9,.0f}   {ratio:.2f}{goal}")


if __name__ == "__main__":
    main()
