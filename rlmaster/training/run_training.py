"""What all trainings of a run share: where they go on, and how they end when somebody asks.

A training always goes on from what lies in the run folder: from nothing where the run is new, from
the newest whole checkpoint where it was cut, from its parent's where it is a branch.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from rlmaster.errors import RunFolderError
from rlmaster.experiment import Experiment
from rlmaster.run_folder import RunFolder
from rlmaster.training.canonical import (
    CANONICAL_STEPS,
    CanonicalFrames,
    canonical_frames,
    note_of,
)
from rlmaster.training.checkpoint import Checkpoint, read_newest_whole, step_of
from rlmaster.training.computer import describe_computer, why_not_bit_by_bit
from rlmaster.training.learner import Learner, require_fit
from rlmaster.training.recording import Recording
from rlmaster.training.seeds import seeds_from
from rlmaster.training.stopping import Stop, StopRequested
from rlmaster.training.update import best_device


class RunTraining(ABC):
    """One run that learns."""

    unit: ClassVar[str] = "update"
    """What its steps count."""

    def __init__(self, experiment: Experiment, run: RunFolder, recording: Recording) -> None:
        """Prepare a run; nothing is read or played yet.

        Args:
            experiment: What to do.
            run: Where to keep it, and what earlier attempts left there.
            recording: Who writes there.
        """
        self.experiment = experiment
        self.run = run
        self.recording = recording
        self.stop = Stop()
        self.device = best_device()
        self._run_id = str(run.run()["id"])  # which a renamed folder keeps
        self._seeds = seeds_from(experiment.seed)

    @property
    @abstractmethod
    def total(self) -> int:
        """Steps of the whole run."""

    @property
    def at_once(self) -> int:
        """Most steps that are done at once."""
        return 1

    @abstractmethod
    def execute(self) -> None:
        """Learn, measure, and keep everything.

        Raises:
            StopRequested: After the work was kept, because somebody asked.
            TrainingError: If the experiment cannot be trained as specified.
        """

    # --------------------------------------------------------------- what all runs are shown

    def _canonical_frames(self) -> CanonicalFrames:
        """Return frames that are the same for every run of the game.

        They are played unless this computer has them.
        """
        atari = self.experiment.environment
        if note := note_of(atari.game):
            self.recording.event("note", note)
        self.recording.phase("preparing", CANONICAL_STEPS, "steps")
        return canonical_frames(atari, self.device, self._advance)

    # ---------------------------------------------------------------------- where it goes on

    def _newest_checkpoint(self) -> Checkpoint | None:
        """Return what the run goes on from; None where it begins."""

        def tell(path: Path, error: RunFolderError) -> None:
            message = f"{error}; the whole one before it is used, or else training begins anew"
            self.recording.event("damaged", message, step_of(path))

        checkpoint = read_newest_whole(self.run.checkpoints, tell)
        if checkpoint is not None:
            require_fit(checkpoint, self.total, self.unit, self.at_once)
        return checkpoint

    def _begin_recording(self, checkpoint: Checkpoint | None) -> None:
        """Say from which step on this attempt has measurements; a branch measures its start.

        A checkpoint knows what was measured at its own step by then. An attempt that ended before
        the next one may have added an evaluation there, which is made up again.
        """
        if checkpoint is None or not self._is_own(checkpoint):
            self.recording.begin(checkpoint.step if checkpoint else 0)
        else:
            self.recording.begin(checkpoint.step + 1, checkpoint.counters.get("points"))

    def _is_own(self, checkpoint: Checkpoint) -> bool:
        """Tell whether this run wrote a checkpoint, and not the one that it is a branch of."""
        return checkpoint.run_id == self._run_id

    def _say_resumed(self, checkpoint: Checkpoint) -> None:
        """Keep the event that training goes on, and whether that is bit by bit."""
        then, now = checkpoint.counters["computer"], describe_computer(self.device)
        doubt = why_not_bit_by_bit(then, now)
        message = f"training goes on from {self.unit} {checkpoint.step:,}"
        message += f", but not bit by bit as it would have: {doubt}" if doubt else ""
        self.recording.event("resumed", message, checkpoint.step)

    # ------------------------------------------------------------------------- how it ends

    def _advance(self, done: int) -> None:
        """Say how far a phase is in which there is nothing to keep when somebody asks to stop."""
        self.recording.advance(done)
        self.stop.check()

    def _end_kept(self, learner: Learner) -> None:
        """Obey a request to stop once the last checkpoint is on disk.

        Raises:
            StopRequested: Always, unless something else is worth saying more.
        """
        self._wait_until_kept(learner)
        raise StopRequested

    def _wait_until_kept(self, learner: Learner) -> None:
        """Wait for the last checkpoint, which is kept only where all in it are numbers.

        Raises:
            TrainingError: If loss or weights are not.
        """
        self.recording.flush()
        learner.curve.watch.check()
