"""Does a run that is killed again and again end like one left alone, and what does it cost?

Trains a tiny experiment twice: once in one go, once with training killed by SIGKILL at random
moments and resumed each time. Prints when it was killed and whether weights, replay, checkpoint
state, best, result, events and curves are equal bit by bit. Then prints which share of the time the
loop of a real experiment would wait for its state to be copied, at one checkpoint every 300 s.

    .venv/bin/python benchmarks/resume.py
"""

import argparse
import collections
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlmaster.durable_files import read_json
from rlmaster.embedders.base import build_embedder
from rlmaster.events import read_events
from rlmaster.experiment import (
    Atari,
    Autoencoder,
    EmbedderTraining,
    Experiment,
    RandomFrames,
    Recording,
)
from rlmaster.replay.batches import SequenceBatch
from rlmaster.reports.scalars import read_scalars
from rlmaster.run_folder import RunFolder
from rlmaster.training.checkpoint import (
    BEST_POINTER,
    capture,
    find_checkpoint,
    read_checkpoint,
)
from rlmaster.training.update import make_optimiser, make_update, to_channels_last

MEASURED_SPEED = "train/updates_per_s"
"""The one curve that is of the clock and not of the seed."""
AWAITED = {"restoring": 50, "collecting": 600, "sealing": 1, "evaluating": 1, "checkpointing": 1}
"""What a kill may wait for, and how many steps, updates or pictures it lets pass then at most."""
ALWAYS = {"training": 300, "rendering": 600}
"""The same, where the attempt does nothing of what was awaited."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="how often training is killed")
    parser.add_argument("--seed", type=int, default=1, help="of the moments, and of the run")
    parser.add_argument("--steps", type=int, default=16_000, help="agent steps to collect")
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--latent-dim", type=int, default=256, help="of the stall's embedder")
    parser.add_argument("--announce", type=Path, metavar="RUN", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.announce:
        sys.exit(_train_and_announce(arguments.announce))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        _compare(Path(folder), arguments)
    _print_stall(arguments.latent_dim)


def _compare(folder: Path, arguments: argparse.Namespace) -> None:
    experiment = Experiment(
        name="resumed",
        environment=Atari(game="Pong"),
        frames=RandomFrames(steps=arguments.steps, held_out_share=0.2),
        embedder=Autoencoder(latent_dim=16, channels=(4, 4, 4)),
        training=EmbedderTraining(updates=arguments.updates, batch_size=8, evaluations=12),
        recording=Recording(previews=2, video_episodes=1, checkpoints=2, checkpoint_every_s=0.1),
        seed=arguments.seed,
    )
    whole, cut = (_make_run(folder / name, experiment) for name in ("whole", "cut"))
    start = time.perf_counter()
    _end(_start(whole))
    print(f"uninterrupted: {time.perf_counter() - start:.0f} s")
    choices = random.Random(arguments.seed)
    killed: collections.Counter[str] = collections.Counter()
    while killed.total() < arguments.kills:
        phase = _kill_once(cut, choices)
        if phase is None:
            print(f"it ended before its kill number {killed.total() + 1}")
            break
        killed[phase] += 1
    _end(_start(cut))
    moments = ", ".join(f"{count} {phase}" for phase, count in killed.most_common())
    print(f"killed {killed.total()} times while: {moments}")
    differences = list(_differences(whole, cut))
    print(f"all equal: {'no: ' + ', '.join(differences) if differences else 'yes, bit by bit'}")


# ------------------------------------------------------------------------------- killed training


def _make_run(folder: Path, experiment: Experiment) -> RunFolder:
    return RunFolder.create(
        folder,
        config=experiment.to_data(),
        rationale="benchmark",
        provenance={},
        digests={},
        differs_from_default=[],
    )


def _start(run: RunFolder) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, __file__, "--announce", str(run.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _end(training: subprocess.Popen[bytes]) -> None:
    _, said = training.communicate()
    assert training.returncode == 0, said.decode()


def _kill_once(run: RunFolder, choices: random.Random) -> str | None:
    """Start training, kill it at a random moment, and return what it was doing; None at its end."""
    training = _start(run)
    assert training.stdout is not None
    awaited, passes = choices.choice(list({**AWAITED, **ALWAYS}.items()))
    doing: collections.Counter[str] = collections.Counter()
    left: int | None = None
    for line in training.stdout:
        word, _, phase = line.decode().strip().partition(" ")
        doing[phase] += {"begin": 1, "end": -1, "step": 0}[word]
        if word == "begin" and phase == awaited and left is None:
            left = choices.randint(0, passes)
        elif word == "begin" and phase in ALWAYS:
            left = min(choices.randint(0, ALWAYS[phase]), 10**9 if left is None else left)
        elif word == "step" and left is not None:
            left -= 1
        if left is not None and left <= 0:
            break
    training.kill()
    for line in training.stdout:  # what it still said
        word, _, phase = line.decode().strip().partition(" ")
        doing[phase] += {"begin": 1, "end": -1, "step": 0}.get(word, 0)
    training.communicate()
    if training.returncode != -signal.SIGKILL:
        return None
    return " and ".join(sorted(+doing)) or "between phases"


def _train_and_announce(run: Path) -> int:
    """Train in this process, and say on stdout what begins and ends and how it goes on."""
    from rlmaster.replay.chunk_files import ChunkFolder
    from rlmaster.replay.frame_store import FrameStore
    from rlmaster.training import __main__ as process
    from rlmaster.training import checkpoint, frames, video
    from rlmaster.training.embedder_training import EmbedderTraining
    from rlmaster.training.evaluation import Evaluation
    from rlmaster.training.gallery import Gallery
    from rlmaster.training.loss_curve import LossCurve

    for owner, name, phase in (
        (frames, "play_again", "restoring"),
        (frames, "collect", "collecting"),
        (ChunkFolder, "add", "sealing"),
        (EmbedderTraining, "_train", "training"),
        (Evaluation, "measure", "evaluating"),
        (checkpoint, "_write", "checkpointing"),
        (Gallery, "film", "rendering"),
    ):
        setattr(owner, name, _announced(getattr(owner, name), f"begin {phase}", f"end {phase}"))
    for owner, name in ((FrameStore, "append"), (LossCurve, "add"), (video, "side_by_side")):
        setattr(owner, name, _announced(getattr(owner, name), "step"))
    return process.main(run)


def _announced(function: Callable[..., Any], before: str, after: str = "") -> Callable[..., Any]:
    @wraps(function)
    def announced(*arguments: Any, **keywords: Any) -> Any:
        os.write(1, f"{before}\n".encode())
        answer = function(*arguments, **keywords)
        if after:
            os.write(1, f"{after}\n".encode())
        return answer

    return announced


def _differences(first: RunFolder, second: RunFolder) -> Iterator[str]:
    """Yield what is not equal bit by bit."""
    for name, of in (
        ("replay", lambda run: {path.name: path.read_bytes() for path in run.replay.iterdir()}),
        ("which is the best", lambda run: read_json(run.checkpoints / BEST_POINTER)),
        ("result", lambda run: run.progress().result),
        ("events", _events),
    ):
        if of(first) != of(second):
            yield name
    yield from _different_parts(first, second)
    yield from _different_curves(first, second)


def _events(run: RunFolder) -> set[tuple[str, int]]:
    """Return kind and step of what happened in a run, but for what only a cut brings about."""
    happened = read_events(run.training_events)[0]
    return {(event.kind, event.step) for event in happened if event.kind != "resumed"}


def _different_parts(first: RunFolder, second: RunFolder) -> Iterator[str]:
    newest = [read_checkpoint(find_checkpoint(run.checkpoints)) for run in (first, second)]
    for checkpoint in newest:
        del checkpoint.counters["run"]  # which wrote it
    for part in ("networks", "state", "counters"):
        if not _same(getattr(newest[0], part), getattr(newest[1], part)):
            yield part


def _different_curves(first: RunFolder, second: RunFolder) -> Iterator[str]:
    curves = [read_scalars(run.tensorboard) for run in (first, second)]
    if set(curves[0]) != set(curves[1]):
        yield "which curves there are"
    for tag in sorted(set(curves[0]) & set(curves[1]) - {MEASURED_SPEED}):
        one, other = (curve[tag] for curve in curves)
        if not np.array_equal([one.steps, one.values], [other.steps, other.values]):
            yield tag


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


# --------------------------------------------------------------------------------------- the stall


def _print_stall(latent_dim: int) -> None:
    """Measure how long the loop waits while the state of the default embedder is copied."""
    experiment = Experiment(
        name="stall", environment=Atari(game="Pong"), embedder=Autoencoder(latent_dim=latent_dim)
    )
    embedder = build_embedder(experiment)
    to_channels_last(embedder)
    optimiser = make_optimiser(embedder, experiment.training)
    update = make_update(embedder, optimiser, torch.float32, compiled=False)
    batch = SequenceBatch.of_frames(torch.randint(256, (32, 1, 84, 84), dtype=torch.uint8))
    seconds: list[float] = []
    for _ in range(9):
        update(batch)  # so that the optimiser has its moments, and the copies are not in a cache
        start = time.perf_counter()
        capture(1, embedder, optimiser, {})
        seconds.append(time.perf_counter() - start)
    every_s = experiment.recording.checkpoint_every_s
    copied = statistics.median(seconds)
    megabytes = 3 * sum(p.numel() * p.element_size() for p in embedder.parameters()) / 1e6
    print(f"copying {megabytes:.0f} MB of state: {1000 * copied:.1f} ms")
    print(f"share of the loop: {copied / every_s:.4%} at one every {every_s:.0f} s (goal 1 %)")


if __name__ == "__main__":
    main()
