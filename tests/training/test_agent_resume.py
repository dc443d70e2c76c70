"""A run that plays, is killed in every phase and resumed, ends like one that was left alone."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playing_runs import AUTOENCODER, EXPERIMENT, SETTINGS, make_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlmaster.agent_choices import DoubleDQN, Rainbow
from rlmaster.events import read_events
from rlmaster.experiment import EncoderTraining, Experiment
from rlmaster.experiment import Recording as Keep
from rlmaster.replay.chunk_files import ChunkFolder
from rlmaster.replay.frame_store import FrameStore
from rlmaster.replay.row_store import ROW_ARRAYS
from rlmaster.reports.scalars import read_scalars
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import STOPPED_EXIT_CODE
from rlmaster.training.checkpoint import find_checkpoint, read_checkpoint

OFTEN_KEPT = Keep(checkpoints=2, checkpoint_every_s=1e-6, video_episodes=1)
SMALL_REPLAY = SETTINGS | {"replay_steps": 300}
"""A ring that comes round while the run plays."""
DOUBLE_DQN = EXPERIMENT.model_copy(
    update={"agent": DoubleDQN(**SMALL_REPLAY), "recording": OFTEN_KEPT}
)
RAINBOW = EXPERIMENT.model_copy(
    update={
        "agent": Rainbow(**SMALL_REPLAY, num_atoms=11),
        "embedder": AUTOENCODER,
        "encoder": EncoderTraining(losses="representation"),
        "recording": OFTEN_KEPT,
        "seed": 9,  # with most others it never becomes better than it began, and keeps no best
    }
)
LEARNING = "rlmaster.training.agent_learning:AgentLearning"
MEASURING = "rlmaster.training.playing:Evaluator.play"
SPEED = "train/steps_per_s"
LOST = [
    (f"{LEARNING}._learn_once", 7, "SIGTERM"),
    (MEASURING, 1, "SIGTERM"),
    ("rlmaster.training.checkpoint:_write", 1, "SIGKILL"),  # the same one, put off, is in the curve
    ("rlmaster.training.play:Play.recv", 11, "SIGKILL"),
]
LOST_IN_EVERY_PHASE = [
    ("rlmaster.training.play:Play.send", 20, "SIGKILL"),  # in the warm-up
    (f"{LEARNING}.begin", 1, "SIGKILL"),
    ("rlmaster.replay.chunk_files:ChunkFolder._write_manifest", 3, "SIGKILL"),  # sealing
    *LOST,
    ("rlmaster.training.checkpoint:_write_durably", 4, "SIGKILL"),  # half a checkpoint
    (f"{LEARNING}._learn_once", 3, "SIGKILL"),
    ("rlmaster.training.agent_training:film", 1, "SIGKILL"),
]


def attempt(run: RunFolder, *moment: object) -> int:
    """Train in a process of its own, up to its end or to a moment, and return the exit code."""
    program = Path(__file__).with_name("killed_playing.py")
    done = subprocess.run(
        [sys.executable, str(program), str(run.path), *map(str, moment)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def as_data(value: Any) -> Any:
    """Return nested lists and dicts in which tensors are bytes, to be compared bit by bit."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: as_data(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_data(inner) for inner in value]
    return value


def state_of(run: RunFolder, which: str) -> dict[str, Any]:
    """Return all that a checkpoint holds but for which run wrote it."""
    checkpoint = read_checkpoint(find_checkpoint(run.checkpoints, which))
    counters = {name: value for name, value in checkpoint.counters.items() if name != "run"}
    counters["points"] = [point for point in counters["points"] if point[0] != SPEED]
    return as_data({**vars(checkpoint), "counters": counters})


def rows_of(run: RunFolder) -> dict[str, np.ndarray]:
    """Return all rows that were ever sealed, however they are cut into files."""
    assert ChunkFolder.open(run.replay).first_row == 0
    store = FrameStore.load(run.replay)
    arrays = {name: getattr(store, name)[: store.num_rows] for name in ROW_ARRAYS}
    return {"frames": store.frames[: store.num_rows].numpy(), **arrays}


def curves_of(run: RunFolder) -> dict[str, list[Any]]:
    """Return steps and values of all curves; of the measured speed only steps, each there once."""
    return {
        tag: list(points.steps)
        if tag == SPEED
        else list(zip(points.steps.tolist(), points.values.tolist(), strict=True))
        for tag, points in read_scalars(run.tensorboard).items()
    }


def pictures_of(run: RunFolder) -> dict[str, bytes]:
    """Return all previews by name; TensorBoard has each of them once."""
    pictures = {path.name: path.read_bytes() for path in run.preview_files()}
    if pictures:
        shown = EventAccumulator(str(run.tensorboard_images), {"images": 0}).Reload()
        steps = [each.step for each in shown.Images("preview")]
        assert [f"step-{step:09d}.png" for step in steps] == list(pictures)
    return pictures


def assert_equal(cut: RunFolder, whole: RunFolder) -> None:
    """Compare all that a run comes to, but for when it was written."""
    for which in ("newest", "best"):
        one, other = state_of(cut, which), state_of(whole, which)
        for part in other:
            assert one[part] == other[part], (which, part)
    rows = rows_of(whole)
    for name, values in rows_of(cut).items():
        assert np.array_equal(values, rows[name]), name
    assert curves_of(cut) == curves_of(whole)
    assert cut.progress().result == whole.progress().result
    for one, other in zip(cut.video_files(), whole.video_files(), strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert pictures_of(cut) == pictures_of(whole)
    half = [path for path in cut.path.rglob("*") if re.search(r"tmp|partial", path.name)]
    assert half == []


@pytest.mark.learns
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("experiment", "moments"),
    [(DOUBLE_DQN, LOST_IN_EVERY_PHASE), (RAINBOW, LOST)],
    ids=["double-dqn", "rainbow"],
)
def test_a_run_that_is_killed_ends_like_one_that_was_left_alone(
    experiment: Experiment, moments: list[tuple[str, int, str]], tmp_path: Path
) -> None:
    whole, cut = (make_run(tmp_path / name, experiment) for name in ("whole", "cut"))
    assert attempt(whole) == 0
    for moment, count, name in moments:
        expected = -signal.SIGKILL if name == "SIGKILL" else STOPPED_EXIT_CODE
        assert attempt(cut, moment, count, name) == expected, (moment, count)
    assert attempt(cut) == 0
    assert_equal(cut, whole)
    events, _ = read_events(cut.training_events)
    resumed = [event.step for event in events if event.kind == "resumed"]
    assert resumed == sorted(resumed)
    once = [(e.kind, e.step, e.message) for e in events if e.kind != "resumed"]
    assert once == [(e.kind, e.step, e.message) for e in read_events(whole.training_events)[0]]
