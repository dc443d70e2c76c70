"""A run that is killed in every phase and resumed each time ends like one that was left alone."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_disk import small_disk

from rlmaster.events import read_events
from rlmaster.experiment import Atari, Autoencoder, EmbedderTraining, Experiment, RandomFrames
from rlmaster.experiment import Recording as Keep
from rlmaster.frame_sources import UniformStateFrames
from rlmaster.reports.scalars import read_scalars
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import STOPPED_EXIT_CODE
from rlmaster.training.checkpoint import (
    Checkpoint,
    find_checkpoint,
    list_checkpoints,
    read_checkpoint,
)

EXPERIMENT = Experiment(
    name="resumed",
    environment=Atari(game="Pong", num_environments=4),
    frames=RandomFrames(steps=1_800, held_out_share=0.3),
    embedder=Autoencoder(latent_dim=16, channels=(4, 4, 4)),
    # Every update is followed by a checkpoint, unless the one before is still being written.
    training=EmbedderTraining(updates=40, batch_size=8, evaluations=4),
    recording=Keep(previews=3, video_episodes=1, checkpoints=2, checkpoint_every_s=1e-6),
)

MOMENTS = [
    ("rlmaster.atari.environment:AtariEnvironments.recv", 40, "SIGKILL"),  # nothing sealed yet
    ("rlmaster.atari.environment:AtariEnvironments.recv", 300, "SIGTERM"),
    ("rlmaster.replay.frame_store:FrameStore.frames_of_row", 20, "SIGKILL"),  # playing again
    ("rlmaster.replay.chunk_files:ChunkFolder._write_manifest", 1, "SIGKILL"),  # sealing
    ("rlmaster.training.loss_curve:LossCurve.add", 1, "SIGKILL"),
    ("rlmaster.training.checkpoint:_write_durably", 4, "SIGKILL"),  # half a checkpoint
    ("rlmaster.training.evaluation:Evaluation.measure", 1, "SIGKILL"),
    ("rlmaster.training.loss_curve:LossCurve.add", 7, "SIGTERM"),
    ("rlmaster.training.video:side_by_side", 30, "SIGKILL"),  # rendering
]


SPEED = "train/updates_per_s"


def make_run(folder: Path, experiment: Experiment = EXPERIMENT) -> RunFolder:
    return RunFolder.create(
        folder,
        config=experiment.to_data(),
        rationale="to test",
        provenance={},
        digests={},
        differs_from_default=[],
    )


def train(run: RunFolder, *moment: object) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own, up to its end or to a moment."""
    program = Path(__file__).with_name("killed_training.py")
    done = subprocess.run(
        [sys.executable, str(program), str(run.path), *map(str, moment)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def replay_files(run: RunFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.replay.iterdir()}


def milestones(run: RunFolder) -> dict[str, Checkpoint]:
    return {
        path.name: read_checkpoint(path)
        for path in list_checkpoints(run.checkpoints)
        if path.name in ("update-000000020", "update-000000040")
    }


def curves(run: RunFolder) -> dict[str, list[Any]]:
    """Return steps and values of all curves but that of the measured speed."""
    series = read_scalars(run.tensorboard)
    assert series.pop(SPEED).steps.tolist() == [10, 20, 30, 40]
    return {tag: [points.steps.tolist(), points.values.tolist()] for tag, points in series.items()}


def assert_same(one: object, other: object) -> None:
    """Compare bit by bit, through dicts and lists."""
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor)
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert isinstance(other, list)
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    else:
        assert one == other


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that was left alone."""
    run = make_run(tmp_path_factory.mktemp("whole"))
    assert train(run).returncode == 0
    return run


def without_run(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return all that a checkpoint holds but for which run wrote it."""
    counters = {name: value for name, value in checkpoint.counters.items() if name != "run"}
    counters["points"] = [point for point in counters["points"] if point[0] != SPEED]
    return {**vars(checkpoint), "counters": counters}


def assert_equal(cut: RunFolder, whole: RunFolder) -> None:
    """Compare all that a run comes to, but for when it was written."""
    assert replay_files(cut) == replay_files(whole)
    for name, checkpoint in milestones(whole).items():
        assert_same(without_run(milestones(cut)[name]), without_run(checkpoint))
    best = [read_checkpoint(find_checkpoint(run.checkpoints, "best")) for run in (whole, cut)]
    assert_same(without_run(best[0]), without_run(best[1]))
    assert curves(cut) == curves(whole)
    assert cut.progress().result == whole.progress().result
    for one, other in zip(whole.preview_files(), cut.preview_files(), strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert [path.name for path in cut.video_files()] == ["held_out.mp4"]
    half = [path for path in cut.path.rglob("*") if re.search(r"tmp|partial", path.name)]
    assert half == []


@pytest.mark.learns
@pytest.mark.timeout(400)
def test_a_run_killed_in_every_phase_ends_like_one_that_was_left_alone(
    whole: RunFolder, tmp_path: Path
) -> None:
    cut = make_run(tmp_path)
    for moment, count, name in MOMENTS:
        expected = -signal.SIGKILL if name == "SIGKILL" else STOPPED_EXIT_CODE
        assert train(cut, moment, count, name).returncode == expected, (moment, count)
    assert train(cut).returncode == 0
    assert_equal(cut, whole)

    events, _ = read_events(cut.training_events)
    once = [(e.kind, e.step, e.message) for e in events if e.kind not in ("resumed", "note")]
    expected_events = read_events(whole.training_events)[0]
    assert once == [(e.kind, e.step, e.message) for e in expected_events if e.kind != "note"]
    resumed = [event for event in events if event.kind == "resumed"]
    assert len(resumed) == len(MOMENTS) - 1  # the second attempt found nothing
    assert np.all(np.diff([event.step for event in resumed]) >= 0)
    assert resumed[-1].step == 40  # straight to rendering


EXPLORING = EXPERIMENT.model_copy(
    update={
        "frames": UniformStateFrames(steps=1_200, excursion_steps=30),
    }
)
COLLECTED = ("rlmaster.replay.frame_store:FrameStore.split_episodes", 1, "SIGTERM")
WHILE_EXPLORING = [
    ("rlmaster.atari.exploration:Exploration.play_round", 2),  # nothing sealed yet
    ("rlmaster.replay.chunk_files:ChunkFolder.add", 3),  # an archive without its rows
    ("rlmaster.atari.exploration:Exploration.play_round", 2),
]


@pytest.mark.learns
def test_an_exploration_that_is_killed_shows_the_same_frames(tmp_path: Path) -> None:
    whole, cut = (make_run(tmp_path / name, EXPLORING) for name in ("whole", "cut"))
    assert train(whole, *COLLECTED).returncode == STOPPED_EXIT_CODE
    for moment, count in WHILE_EXPLORING:
        assert train(cut, moment, count, "SIGKILL").returncode == -signal.SIGKILL
    assert train(cut, *COLLECTED).returncode == STOPPED_EXIT_CODE
    assert replay_files(cut) == replay_files(whole)


@pytest.mark.learns
@pytest.mark.system
def test_a_run_whose_disk_was_full_goes_on_from_what_is_whole(
    whole: RunFolder, tmp_path: Path
) -> None:
    with small_disk(tmp_path):
        full = make_run(tmp_path)
        done = train(full)
        assert done.returncode == 1
        assert re.search(f"disk is full.*`rlmaster resume {full.short_id}`\n$", done.stderr)
        cut = RunFolder(whole.path.with_name(f"{full.id}-with-room"))
        shutil.copytree(full.path, cut.path)
    assert list_checkpoints(cut.checkpoints)
    assert train(cut).returncode == 0
    assert_equal(cut, whole)
