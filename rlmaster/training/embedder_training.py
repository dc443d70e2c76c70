"""Training an embedder on collected frames, from the first random action to the video.

It always goes on from what lies in the run folder: from nothing where the run is new, from sealed
frames and the newest whole checkpoint where it was cut, from its parent's where it is a branch.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from rlmaster.embedders.base import BaseEmbedder, build_embedder
from rlmaster.errors import TrainingError
from rlmaster.frame_sources import ReplayFrames
from rlmaster.replay.batches import SequenceBatch
from rlmaster.replay.frame_store import Episode
from rlmaster.specification import flattened
from rlmaster.training.batches import Batches
from rlmaster.training.checkpoint import Checkpoint
from rlmaster.training.checkpointing import Checkpointing
from rlmaster.training.embedder_results import METRIC, EmbedderResults
from rlmaster.training.evaluation import (
    BACKGROUND_FRAMES,
    Evaluation,
    evenly_chosen,
    held_out_frames,
)
from rlmaster.training.frames import FrameCollection
from rlmaster.training.gallery import Gallery, moments_of_a_run
from rlmaster.training.learner import Arithmetic, Learner
from rlmaster.training.loss_curve import LossCurve
from rlmaster.training.memory import require_room_for_latent
from rlmaster.training.pace import Pace
from rlmaster.training.run_training import RunTraining
from rlmaster.training.schedule import evenly_spaced, growing
from rlmaster.training.update import (
    Update,
    choose_compilation,
    choose_precision,
    make_optimiser,
    make_update,
    needs_trial,
    to_channels_last,
)


class EmbedderTraining(RunTraining):
    """One run that learns a representation from frames."""

    @property
    def total(self) -> int:
        """Updates of the whole run."""
        return self.experiment.training.updates

    def execute(self) -> None:
        """Collect, train, measure, and keep everything.

        Raises:
            StopRequested: After the work was kept, because somebody asked.
            TrainingError: If the experiment cannot be trained as specified.
        """
        # First, so that nobody waits for frames to hear of a mistake in the embedder.
        embedder = self._build()
        checkpoint = self._newest_checkpoint()
        frames = FrameCollection(
            self.experiment,
            self.run,
            self.recording,
            self.device,
            self._advance,
            learned_from=checkpoint is not None,
        )
        self._begin_recording(checkpoint)
        self.recording.hyperparameters(flattened(self.experiment.to_data()), [METRIC])
        self._say_where_it_goes_on(checkpoint, frames.load())
        store = frames.complete()
        train, held_out = store.split_episodes(frames.source.held_out_share, self._seeds.split)
        train_indices = store.frame_indices(train)
        self._prepare(embedder, store.frames_at(evenly_chosen(train_indices, BACKGROUND_FRAMES)))
        canonical = self._canonical_frames()
        evaluation = Evaluation(
            canonical.measured(), held_out_frames(store, train, held_out, embedder)
        )
        gallery = Gallery(store, moments_of_a_run(store, held_out, canonical, embedder), embedder)
        batches = Batches(
            store,
            train,
            embedder,
            batch_size=self.experiment.training.batch_size,
            seed=self._seeds.batches,
        )
        learner = self._learner(embedder, batches, checkpoint)
        self._train(embedder, learner, batches, evaluation, gallery, checkpoint)
        self._film(gallery, held_out)

    # ---------------------------------------------------------------------- where it goes on

    def _build(self) -> BaseEmbedder:
        require_room_for_latent(self.experiment.embedder, self.device)
        torch.manual_seed(self._seeds.weights)
        embedder = build_embedder(self.experiment).to(self.device)
        to_channels_last(embedder)
        return embedder

    def _prepare(self, embedder: BaseEmbedder, frames: Tensor) -> None:
        """Let the embedder look at frames, with the same weights and draws in every attempt."""
        self.recording.phase("preparing", 1, "look")
        torch.manual_seed(self._seeds.updates)
        with self.stop.at_once():
            embedder.prepare(frames)

    def _say_where_it_goes_on(self, checkpoint: Checkpoint | None, rows: int) -> None:
        if checkpoint is not None:
            self._say_resumed(checkpoint)
        elif rows > 0 and not isinstance(self.experiment.frames, ReplayFrames):
            message = f"no whole checkpoint is there; goes on from row {rows:,} of the frames"
            self.recording.event("resumed", message)

    # ------------------------------------------------------------------------------- updates

    def _learner(
        self,
        embedder: BaseEmbedder,
        batches: Batches,
        checkpoint: Checkpoint | None,
    ) -> Learner:
        """Return what learns, still as it is before the first update."""
        training = self.experiment.training
        if checkpoint is None:
            arithmetic = self._choose_arithmetic(embedder, next(batches.after(0)))
        else:
            arithmetic = Arithmetic.resumed(training, checkpoint.counters, self.device)
        return Learner(
            embedder,
            make_optimiser(embedder, training),
            LossCurve(self.recording, training.updates, self.device),
            EmbedderResults(self.recording),
            arithmetic,
            self._run_id,
        )

    def _choose_arithmetic(self, embedder: BaseEmbedder, batch: SequenceBatch) -> Arithmetic:
        training = self.experiment.training
        precision = choose_precision(training.precision, self.device)
        if needs_trial(training, training.updates):
            self.recording.phase("compiling", 1, "trial")
        with self.stop.at_once():
            chosen = choose_compilation(embedder, training, precision, batch)
        arithmetic = Arithmetic(precision, chosen.wanted)
        why = f"; torch.compile does not work here ({chosen.failure})" if chosen.failure else ""
        self.recording.event("note", f"updates run {arithmetic} on {self.device}{why}")
        return arithmetic

    def _train(
        self,
        embedder: BaseEmbedder,
        learner: Learner,
        batches: Batches,
        evaluation: Evaluation,
        gallery: Gallery,
        checkpoint: Checkpoint | None,
    ) -> None:
        training, keep = self.experiment.training, self.experiment.recording
        checkpoints = Checkpointing(learner, self.experiment, self.run.checkpoints, self.recording)
        done = checkpoint.step if checkpoint else 0
        if checkpoint is None:
            learner.results.begin(evaluation.measure(embedder))
        else:
            self._restore(embedder, learner, checkpoint, evaluation, checkpoints)
        evaluate_at = evenly_spaced(training.updates, training.evaluations)
        preview_at = growing(training.updates, keep.previews)
        pace = Pace(done)
        self.recording.phase("training", training.updates, "updates", done)
        for step in self._updates(embedder, learner, batches, done):
            is_best = False
            if step in evaluate_at:
                self.recording.scalars(step, {"train/updates_per_s": pace.lap(step)})
                is_best = learner.results.add(step, evaluation.measure(embedder))
                embedder.keep(self.recording, step)
                pace.restart(step)
            if step in preview_at:
                gallery.record(self.recording, step)
            stopping = self.stop.requested  # asked once, for a signal may come at any moment
            due = stopping or checkpoints.is_due(step)
            if due or is_best:
                checkpoints.keep(step, due=due, is_best=is_best)
            if stopping:
                self._end_kept(learner)
        self._wait_until_kept(learner)  # so that a film which is cut short costs no update

    def _restore(
        self,
        embedder: BaseEmbedder,
        learner: Learner,
        checkpoint: Checkpoint,
        evaluation: Evaluation,
        checkpoints: Checkpointing,
    ) -> None:
        """Bring the learner to a checkpoint; a branch's best and result are its own from there."""
        learner.restore(checkpoint)
        is_branch = not self._is_own(checkpoint)
        if is_branch:
            measured = evaluation.measure(embedder)
            learner.results.begin_branch(checkpoint.step, measured)
        checkpoints.keep_restored(checkpoint.step, is_best=is_branch)

    def _updates(
        self, embedder: BaseEmbedder, learner: Learner, batches: Batches, done: int
    ) -> Iterator[int]:
        """Do one update after the other, and yield the number of each."""
        update, total = self._make_update(embedder, learner), self.total
        for step, batch in zip(range(done + 1, total + 1), batches.after(done), strict=False):
            # The first may compile for a minute, and before it there is nothing new to keep.
            with self.stop.at_once(when=step == done + 1):
                loss = update(batch)
            self.recording.advance(step)
            learner.curve.add(step, loss)
            yield step

    def _make_update(self, embedder: BaseEmbedder, learner: Learner) -> Update:
        return make_update(
            embedder,
            learner.optimiser,
            learner.arithmetic.precision,
            compiled=learner.arithmetic.compiled,
        )

    # ------------------------------------------------------------------------------ the film

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
