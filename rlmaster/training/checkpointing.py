"""When a run keeps a checkpoint: at its milestones, every so often, when it is best, at a stop."""

import math
import time
from pathlib import Path

from rlmaster.experiment import Experiment
from rlmaster.training.checkpoint import (
    list_checkpoints,
    step_of,
    thin,
    write_best,
    write_checkpoint,
)
from rlmaster.training.learner import Learner
from rlmaster.training.recording import Recording
from rlmaster.training.schedule import evenly_spaced

STALL_SHARE = 0.01
"""Share of the time that the loop may wait for state to be copied; it is written meanwhile."""


class Checkpointing:
    """Copies a learner's state when it is due, and has it written in the background."""

    def __init__(
        self, learner: Learner, experiment: Experiment, folder: Path, recording: Recording
    ) -> None:
        """Start the clock.

        Args:
            learner: Whose state.
            experiment: Says how often.
            folder: The run's `checkpoints`.
            recording: Who writes, after all curves and events up to that step.
        """
        keep = experiment.recording
        self._learner = learner
        self._folder = folder
        self._recording = recording
        self._milestones = evenly_spaced(experiment.training.updates, keep.checkpoints)
        self._every_s = keep.checkpoint_every_s
        self._due_at_s = time.monotonic() + self._every_s

    def keep_restored(self, step: int) -> None:
        """Keep the state that a resume found in the best checkpoint under its step as well."""
        if step not in map(step_of, list_checkpoints(self._folder)):
            self.keep(step)

    def is_due(self, step: int) -> bool:
        """Tell whether a checkpoint shall be kept now."""
        return step in self._milestones or time.monotonic() >= self._due_at_s

    def keep(self, step: int) -> None:
        """Keep the state, so that a resume can go on from it."""
        start_s = time.monotonic()
        checkpoint = self._learner.capture(step)
        stalled_s = time.monotonic() - start_s
        self._due_at_s = math.inf  # until this one is written, so that none queue up

        def write() -> None:
            if checkpoint is not None and self._learner.complete(checkpoint):
                write_checkpoint(self._folder, checkpoint)
                thin(self._folder, self._milestones)
            self._due_at_s = time.monotonic() + max(self._every_s, stalled_s / STALL_SHARE)

        self._recording.after_all(write)

    def keep_best(self, step: int) -> None:
        """Keep the state as the best so far."""
        checkpoint = self._learner.capture(step)

        def write() -> None:
            if checkpoint is not None and self._learner.complete(checkpoint):
                write_best(self._folder, checkpoint)

        self._recording.after_all(write)
