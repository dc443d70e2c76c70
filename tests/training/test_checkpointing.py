"""When checkpoints are kept: milestones, every so often, and never so often that training waits."""

import gc
import math
import threading
import time
import weakref
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn

from rlmaster.experiment import Atari, EmbedderTraining, Experiment
from rlmaster.experiment import Recording as Keep
from rlmaster.run_folder import RunFolder
from rlmaster.training.checkpoint import (
    BEST_POINTER,
    Checkpoint,
    capture,
    find_checkpoint,
    list_checkpoints,
)
from rlmaster.training.checkpointing import Checkpointing
from rlmaster.training.embedder_results import EmbedderResults
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
        self.captured: list[int] = []
        self.results = EmbedderResults(cast("Recording", None))

    def capture(self, step: int) -> Checkpoint:
        self._clock.now_s += 3
        self.captured.append(step)
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
    several_at_once = pairwise(range(0, 106, 7))
    assert [now for before, now in several_at_once if checkpoints.is_due(now, before)] == [56, 105]
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
    checkpoints.keep(2, due=False, is_best=True)
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
    checkpoints.keep(80, due=False, is_best=True)
    recording.close()
    assert kept_steps(tmp_path) == [50, 60, 70]
    assert not list((tmp_path / "checkpoints").glob("best*"))


def test_what_a_resume_found_only_as_the_best_is_kept_under_its_step(
    tmp_path: Path, clock: Clock
) -> None:
    checkpoints, recording = checkpointing(tmp_path, SlowlyCopied(clock), every_s=500)
    checkpoints.keep(50, due=False, is_best=True)
    recording.flush()
    checkpoints.keep_restored(50, is_best=False)
    recording.flush()
    assert kept_steps(tmp_path) == [50]
    checkpoints.keep_restored(50, is_best=False)
    recording.close()
    assert kept_steps(tmp_path) == [50]


def test_a_step_that_is_due_and_the_best_is_copied_once(tmp_path: Path, clock: Clock) -> None:
    learner = SlowlyCopied(clock)
    checkpoints, recording = checkpointing(tmp_path, learner, every_s=500)
    checkpoints.keep(50, is_best=True)
    recording.close()
    assert learner.captured == [50]
    assert kept_steps(tmp_path) == [50]
    assert find_checkpoint(tmp_path / "checkpoints", "best").name == "best-000000050"


def test_while_the_disk_is_slow_only_the_newest_best_waits(tmp_path: Path, clock: Clock) -> None:
    learner = SlowlyCopied(clock)
    checkpoints, recording = checkpointing(tmp_path, learner, every_s=500)
    copies: list[weakref.ref[Checkpoint]] = []
    capture_state = learner.capture

    def remembered(step: int) -> Checkpoint:
        captured = capture_state(step)
        copies.append(weakref.ref(captured))
        return captured

    learner.capture = remembered  # type: ignore[method-assign]
    disk_answers = threading.Event()
    recording.later(lambda: disk_answers.wait(20))
    for step in (1, 2, 3):
        checkpoints.keep(step, due=False, is_best=True)
    gc.collect()
    assert [copy() is not None for copy in copies] == [False, False, True]
    disk_answers.set()
    recording.close()
    assert [path.name for path in (tmp_path / "checkpoints").glob("best-*")] == ["best-000000003"]


def test_a_kill_before_the_pointer_to_the_best_is_made_good(tmp_path: Path, clock: Clock) -> None:
    learner = SlowlyCopied(clock)
    checkpoints, recording = checkpointing(tmp_path, learner, every_s=500)
    folder = tmp_path / "checkpoints"
    checkpoints.keep(7, due=False, is_best=True)
    recording.flush()
    pointer = (folder / BEST_POINTER).read_bytes()
    checkpoints.keep(9, is_best=True)
    recording.flush()
    (folder / BEST_POINTER).write_bytes(pointer)  # killed before it was written
    learner.results.best_step = 9
    checkpoints.keep_restored(9, is_best=False)
    assert find_checkpoint(folder, "best").name == "best-000000009"
    recording.close()
