"""Training an embedder on collected frames, from the first random action to the video."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlmaster.atari.collection import collect
from rlmaster.atari.environment import AtariEnvironments
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.embedders.base import BaseEmbedder, FrameBatch, build_embedder
from rlmaster.errors import TrainingError
from rlmaster.experiment import Experiment, RandomFrames
from rlmaster.replay.frame_store import Episode, FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.specification import flattened, resolve
from rlmaster.training.checkpoint import (
    Checkpoint,
    capture,
    numpy_state,
    write_best,
    write_checkpoint,
)
from rlmaster.training.divergence import DivergenceWatch
from rlmaster.training.evaluation import BACKGROUND_FRAMES, HeldOut, Indices, evenly_chosen
from rlmaster.training.gallery import Gallery
from rlmaster.training.memory import require_memory
from rlmaster.training.recording import Recording
from rlmaster.training.results import METRIC, Results
from rlmaster.training.schedule import evenly_spaced, growing
from rlmaster.training.update import (
    Update,
    best_device,
    choose_compilation,
    choose_precision,
    make_optimiser,
    make_update,
    needs_trial,
    to_channels_last,
)

LOSS_POINTS = 10_000
"""Points of the loss curve at most; with its companions well under 50,000 scalars a run."""


class StopRequested(Exception):  # noqa: N818 - a request that is obeyed, not an error
    """Somebody asked the run to keep its work and end."""


class EmbedderTraining:
    """One run that learns a representation from frames."""

    def __init__(self, experiment: Experiment, run: RunFolder, recording: Recording) -> None:
        """Prepare a run; nothing is collected yet.

        Args:
            experiment: What to do.
            run: Where to keep it.
            recording: Who writes there.
        """
        self.experiment = experiment
        self.run = run
        self.recording = recording
        self.stop_requested = False
        self.device = best_device()
        weights, batches, split = np.random.SeedSequence(experiment.seed).generate_state(3)
        self._weights_seed, self._split_seed = int(weights), int(split)
        self._batch_order = np.random.default_rng(batches)

    def execute(self) -> None:
        """Collect, train, measure, and keep everything.

        Raises:
            StopRequested: After the work was kept, because somebody asked.
            TrainingError: If the experiment cannot be trained as specified.
        """
        self.recording.hyperparameters(flattened(self.experiment.to_data()), [METRIC])
        # First, so that nobody waits for frames to hear of a mistake in the embedder.
        embedder = self._build()
        require_memory(self._source().steps, self.device)
        store = self._collect()
        train, held_out = store.split_episodes(self._source().held_out_share, self._split_seed)
        train_indices = store.frame_indices(train)
        embedder.prepare(store.frames_at(evenly_chosen(train_indices, BACKGROUND_FRAMES)))
        measured = HeldOut(store, train_indices, store.frame_indices(held_out))
        gallery = Gallery(store, held_out, embedder)
        self._train(embedder, self._batches(store, train_indices), measured, gallery)
        self._film(gallery, held_out)

    # -------------------------------------------------------------------------------- frames

    def _source(self) -> RandomFrames:
        source = self.experiment.frames
        if not isinstance(source, RandomFrames):
            raise TrainingError(f"frames of the type {type(source).__name__} cannot be collected")
        return source

    def _collect(self) -> FrameStore:
        """Play random actions and keep every frame, in memory and in the run folder."""
        atari, source = self.experiment.environment, self._source()
        self.recording.phase("collecting", source.steps, "steps")
        environments = AtariEnvironments(
            atari.game,
            PROTOCOLS[atari.protocol],
            num_environments=atari.num_environments,
            seed=self.experiment.seed,
            num_threads=torch.get_num_threads(),
        )
        policy = resolve(source.builds)(
            source, num_actions=environments.num_actions, seed=self.experiment.seed
        )
        store = FrameStore(atari.num_environments, device=self.device)
        collect(environments, policy, store, source.steps, self._collected)
        self.recording.aside(lambda: store.save(self.run.replay))
        return store

    def _collected(self, steps: int, _total: int) -> None:
        if self.stop_requested:
            message = f"stopped after {steps:,} collected steps, of which nothing is kept"
            self.recording.event("note", message)
        self._advance(steps)

    def _advance(self, done: int) -> None:
        """Say how far a phase is in which there is nothing to keep when somebody asks to stop."""
        self.recording.advance(done)
        if self.stop_requested:
            raise StopRequested

    def _batches(self, store: FrameStore, train_indices: Indices) -> Iterator[FrameBatch]:
        """Yield training batches for ever; a pure function of the seed."""
        size = self.experiment.training.batch_size
        while True:
            chosen = self._batch_order.integers(len(train_indices), size=size)
            yield FrameBatch(store.frames_at(train_indices[chosen]))

    # ------------------------------------------------------------------------------- updates

    def _build(self) -> BaseEmbedder:
        torch.manual_seed(self._weights_seed)
        embedder = build_embedder(self.experiment).to(self.device)
        to_channels_last(embedder)
        return embedder

    def _train(
        self,
        embedder: BaseEmbedder,
        batches: Iterator[FrameBatch],
        measured: HeldOut,
        gallery: Gallery,
    ) -> None:
        training, keep = self.experiment.training, self.experiment.recording
        optimiser = make_optimiser(embedder, training)
        update = self._make_update(embedder, optimiser, next(batches))
        results = Results(self.recording, measured.measure(embedder))
        evaluate_at = evenly_spaced(training.updates, training.evaluations)
        checkpoint_at = evenly_spaced(training.updates, keep.checkpoints)
        preview_at = growing(training.updates, keep.previews)
        pace = _Pace()
        self.recording.phase("training", training.updates, "updates")
        for step in self._updates(update, batches):
            is_best = False
            if step in evaluate_at:
                self.recording.scalars(step, {"train/updates_per_s": pace.lap(step)})
                is_best = results.add(step, measured.measure(embedder))
                embedder.keep(self.recording, step)
                pace.restart(step)
            if step in preview_at:
                gallery.record(self.recording, step)
            if is_best:
                self._keep(step, embedder, optimiser, write_best)
            if step in checkpoint_at or self.stop_requested:
                self._keep(step, embedder, optimiser, write_checkpoint)
            if self.stop_requested:
                raise StopRequested

    def _make_update(self, embedder: BaseEmbedder, optimiser: Any, batch: FrameBatch) -> Update:
        training = self.experiment.training
        precision = choose_precision(training.precision, self.device)
        if needs_trial(training):
            self.recording.phase("compiling", 1, "trial")
        chosen = choose_compilation(embedder, training, precision, batch)
        how = f"{'compiled' if chosen.wanted else 'eager'} {str(precision).removeprefix('torch.')}"
        why = f"; torch.compile does not work here ({chosen.failure})" if chosen.failure else ""
        self.recording.event("note", f"updates run {how} on {self.device}{why}")
        return make_update(embedder, optimiser, precision, compiled=chosen.wanted)

    def _updates(self, update: Update, batches: Iterator[FrameBatch]) -> Iterator[int]:
        """Do one update after the other, keep the loss curve, and yield the number of each."""
        total = self.experiment.training.updates
        updates_per_point = math.ceil(total / LOSS_POINTS)
        watch = DivergenceWatch(self.recording, updates_per_point)
        loss_sum, summed = torch.zeros((), device=self.device), 0
        for step in range(1, total + 1):
            loss_sum, summed = loss_sum + update(next(batches)), summed + 1
            if summed == updates_per_point or step == total:
                loss, loss_sum, summed = loss_sum / summed, torch.zeros_like(loss_sum), 0
                self.recording.scalars(step, {"train/loss": loss})
                watch.observe(step, loss)
            self.recording.advance(step)
            if step == total:
                self.recording.flush()  # for the watch has seen the last loss only then
            watch.check()
            yield step

    def _keep(
        self,
        step: int,
        embedder: BaseEmbedder,
        optimiser: Any,
        write: Callable[[Path, Checkpoint], Path],
    ) -> None:
        """Copy all state now; write it in the background."""
        counters = {"updates": step, "batch_order": numpy_state(self._batch_order)}
        checkpoint = capture(step, embedder, optimiser, counters)
        self.recording.later(lambda: write(self.run.checkpoints, checkpoint))

    def _film(self, gallery: Gallery, held_out: list[Episode]) -> None:
        """Make the video of held-out episodes, first of those that were played to their end."""
        whole_first = sorted(held_out, key=lambda episode: not episode.ended)
        episodes = whole_first[: self.experiment.recording.video_episodes]
        if not episodes:
            return
        self.recording.phase("rendering", sum(map(len, episodes)), "frames")
        try:
            gallery.film(self.run.videos / "held_out.mp4", episodes, self._advance)
        except TrainingError as error:
            self.recording.event("note", str(error), self.experiment.training.updates)


class _Pace:
    """Updates in a second, not counting the time that evaluations take."""

    def __init__(self) -> None:
        self.restart(0)

    def restart(self, step: int) -> None:
        self._step, self._time_s = step, time.perf_counter()

    def lap(self, step: int) -> float:
        return (step - self._step) / (time.perf_counter() - self._time_s)
