"""When checkpoints are kept: milestones, every so often, and never so often that training waits."""

import math
import time
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn

from rlmaster.experiment import Atari, EmbedderTraining, Experiment
from rlmaster.experiment import Recording as Keep
from rlmaster.run_folder import RunFolder
from rlmaster.training.checkpoint import Checkpoint, capture, list_checkpoints
from rlmaster.training.checkpointing import Checkpointing
from rlmaster.training.learner import Learner
from rlmaster.training.recording import Recording


class Clock:
    """Stands for the computer's, and is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class SlowlyCopied:
    """Stands for a learner whose state takes three seconds to copy."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._network = nn.Linear(2, 2)
        self._optimiser = torch.optim.Adam(self._network.parameters())
        self.is_a_number = True

    def capture(self, step: int) -> Checkpoint:
        self._clock.now_s += 3
        return capture(step, self._network, self._optimiser, {"updates": step})

    def complete(self, _checkpoint: Checkpoint) -> bool:
        return self.is_a_number


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def checkpointing(
    folder: Path, learner: SlowlyCopied, every_s: float
) -> tuple[Checkpointing, Recording]:
    experiment = Experiment(
        name="kept",
        environment=Atari(game="Pong"),
        training=EmbedderTraining(updates=100),
        recording=Keep(checkpoints=2, checkpoint_every_s=every_s),
    )
    recording = Recording(RunFolder(folder))
    made = Checkpointing(cast("Learner", learner), experiment, folder / "checkpoints", recording)
    return made, recording


def kept_steps(folder: Path) -> list[int]:
    return [int(path.name[-9:]) for path in list_checkpoints(folder / "checkpoints")]


def test_milestones_are_due_and_otherwise_the_clock_decides(tmp_path: Path, clock: Clock) -> None:
    checkpoints, recording = checkpointing(tmp_path, SlowlyCopied(clock), every_s=500)
    assert [step for step in range(1, 101) if checkpoints.is_due(step)] == [50, 100]
    clock.now_s += 500
    assert checkpoints.is_due(7)
    checkpoints.keep(7)
    recording.flush()
    assert not checkpoints.is_due(8)
    clock.now_s += 499
    assert not checkpoints.is_due(9)
    clock.now_s += 1
    assert checkpoints.is_due(9)
    recording.close()
    assert kept_steps(tmp_path) == [7]


def test_copying_takes_a_hundredth_of_the_time_at_most(tmp_path: Path, clock: Clock) -> None:
    checkpoints, recording = checkpointing(tmp_path, SlowlyCopied(clock), every_s=1)
    clock.now_s += 1
    checkpoints.keep(3)
    recording.flush()
    clock.now_s += 299
    assert not checkpoints.is_due(4)
    clock.now_s += 1
    assert checkpoints.is_due(4)
    recording.close()


def test_none_is_due_while_the_last_one_is_written_and_the_best_puts_none_off(
    tmp_path: Path, clock: Clock
) -> None:
    checkpoints, recording = checkpointing(tmp_path, SlowlyCopied(clock), every_s=10)
    checkpoints.keep_best(2)
    clock.now_s += 10
    assert checkpoints.is_due(3)
    recording.close()
    recording.failure = None
    checkpoints._recording.after_all = lambda _write: None  # type: ignore[method-assign]
    checkpoints.keep(3)
    clock.now_s += 1_000_000
    assert not checkpoints.is_due(4)
    assert checkpoints._due_at_s == math.inf


def test_old_ones_are_thinned_and_a_lost_cause_is_not_kept(tmp_path: Path, clock: Clock) -> None:
    learner = SlowlyCopied(clock)
    checkpoints, recording = checkpointing(tmp_path, learner, every_s=1)
    for step in (10, 20, 50, 60, 70):
        checkpoints.keep(step)
    recording.flush()
    learner.is_a_number = False
    checkpoints.keep(80)
    checkpoints.keep_best(80)
    recording.close()
    assert kept_steps(tmp_path) == [50, 60, 70]
    assert not list((tmp_path / "checkpoints").glob("best*"))


def test_what_a_resume_found_only_as_the_best_is_kept_under_its_step(
    tmp_path: Path, clock: Clock
) -> None:
    checkpoints, recording = checkpointing(tmp_path, SlowlyCopied(clock), every_s=500)
    checkpoints.keep_best(50)
    recording.flush()
    checkpoints.keep_restored(50)
    recording.flush()
    assert kept_steps(tmp_path) == [50]
    checkpoints.keep_restored(50)
    recording.close()
    assert kept_steps(tmp_path) == [50]
