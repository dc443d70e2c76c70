"""When a run keeps a checkpoint: at its milestones, every so often, when it is best, at a stop."""

import math
import time
from pathlib import Path

from rlmaster.experiment import Experiment
from rlmaster.training.checkpoint import (
    Checkpoint,
    list_checkpoints,
    point_to_best,
    step_of,
    thin,
    write_best,
    write_checkpoint,
)
from rlmaster.training.learner import Learner
from rlmaster.training.recording import Recording
from rlmaster.training.schedule import Schedule, evenly_spaced

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
        plays = experiment.agent is not None
        total = experiment.agent_training.steps if plays else experiment.training.updates
        at_once = experiment.environment.num_environments if plays else 1
        self._milestones = Schedule(evenly_spaced(total, keep.checkpoints), at_once)
        self._every_s = keep.checkpoint_every_s
        self._due_at_s = time.monotonic() + self._every_s
        self._waiting_best: dict[int, Checkpoint] = {}

    def keep_restored(self, step: int, *, is_best: bool) -> None:
        """Keep the state that was just restored, where what is on disk does not say all of it.

        A resume may have found it in the best checkpoint only, or the best one without its pointer.

        Args:
            step: The update that the learner was brought back to.
            is_best: Whether it is the best by what the learner knows, and was not kept as that.
        """
        due = step not in map(step_of, list_checkpoints(self._folder))
        if due or is_best:
            self.keep(step, due=due, is_best=is_best)
        if not is_best:
            point_to_best(self._folder, self._learner.results.best_step)

    def is_due(self, step: int, before: int | None = None) -> bool:
        """Tell whether a checkpoint shall be kept now.

        Args:
            step: What has been done.
            before: What had been done when this was asked last; by default one step less.
        """
        passed = self._milestones.is_passed(step - 1 if before is None else before, step)
        return passed or time.monotonic() >= self._due_at_s

    def keep(self, step: int, *, due: bool = True, is_best: bool = False) -> None:
        """Keep the state, which is copied once.

        Args:
            step: The update it is of.
            due: Whether a resume shall be able to go on from it.
            is_best: Whether it is the best so far.
        """
        start_s = time.monotonic()
        checkpoint = self._learner.capture(step)
        stalled_s = time.monotonic() - start_s
        if checkpoint is not None and is_best:
            self._write_best_later(checkpoint)
        if checkpoint is not None and due:
            self._write_later(checkpoint, stalled_s)

    def _write_later(self, checkpoint: Checkpoint, stalled_s: float) -> None:
        self._due_at_s = math.inf  # until this one is written, so that none queue up

        def write() -> None:
            if self._complete(checkpoint):
                write_checkpoint(self._folder, checkpoint)
                thin(self._folder, self._milestones)
            self._due_at_s = time.monotonic() + max(self._every_s, stalled_s / STALL_SHARE)

        self._recording.after_all(write)

    def _write_best_later(self, checkpoint: Checkpoint) -> None:
        """Write it in turn, unless a better one comes before the disk is ready for it."""
        step = checkpoint.step
        self._waiting_best = {step: checkpoint}  # the only reference, so that none queue up

        def write() -> None:
            best = self._waiting_best.pop(step, None)
            if best is not None and self._complete(best):
                write_best(self._folder, best)

        self._recording.after_all(write)

    def _complete(self, checkpoint: Checkpoint) -> bool:
        """Add what only the background knows, and tell whether the checkpoint is worth keeping."""
        checkpoint.counters["points"] = self._recording.points_at(checkpoint.step)
        return self._learner.complete(checkpoint)
