"""The loss curve: every update counts in one point, and a resume goes on within a point."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rlmaster.errors import TrainingError
from rlmaster.reports.scalars import read_scalars
from rlmaster.run_folder import RunFolder
from rlmaster.training import loss_curve
from rlmaster.training.loss_curve import LossCurve
from rlmaster.training.recording import Recording
from rlmaster.training.update import LOSS

CPU = torch.device("cpu")


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    (tmp_path / "events").mkdir()
    made = Recording(RunFolder(tmp_path))
    yield made
    made.close()


def test_the_curve_has_no_more_points_than_it_may_and_covers_every_update(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_curve, "LOSS_POINTS", 7)
    curve = LossCurve(recording, 11, CPU)
    for step in range(1, 12):
        curve.add(step, {LOSS: torch.tensor(float(step))})
    recording.close()
    points = read_scalars(tmp_path / "tensorboard")["train/loss"]
    assert points.steps.tolist() == [2, 4, 6, 8, 10, 11]
    assert points.values.tolist() == [1.5, 3.5, 5.5, 7.5, 9.5, 11]


def test_a_part_is_averaged_over_the_updates_that_had_it(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_curve, "LOSS_POINTS", 2)
    curve = LossCurve(recording, 8, CPU)
    for step in range(1, 9):
        part = {"odd": torch.tensor(10.0 * step)} if step in (1, 3) else {}
        curve.add(step, {LOSS: torch.tensor(float(step)), **part})
    recording.close()
    curves = read_scalars(tmp_path / "tensorboard")
    assert (curves["train/odd"].steps.tolist(), curves["train/odd"].values.tolist()) == ([4], [20])
    assert curves["train/loss"].values.tolist() == [2.5, 6.5]


@pytest.mark.parametrize("loss_points", [12, 5, 7])
def test_a_last_loss_that_is_no_number_ends_the_run_before_it_counts(
    loss_points: int, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_curve, "LOSS_POINTS", loss_points)
    curve = LossCurve(recording, 12, CPU)
    for step in range(1, 12):
        curve.add(step, {LOSS: torch.tensor(1.0)})
    with pytest.raises(TrainingError, match="not a number at update 12"):
        curve.add(12, {LOSS: torch.tensor(float("nan"))})


def test_a_curve_of_agent_steps_has_points_at_the_last_of_them_and_not_before(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_curve, "LOSS_POINTS", 2)
    curve = LossCurve(recording, 8, CPU, last_step=30, unit="step")
    for step in (4, 8, 12, 16, 20, 24, 31, 31):
        curve.add(step, {LOSS: torch.tensor(float(step))})
    with pytest.raises(TrainingError, match=r"at step 31; a smaller agent\.learning_rate"):
        curve.add(31, {LOSS: torch.tensor(float("nan"))})
    recording.close()
    points = read_scalars(tmp_path / "tensorboard")["train/loss"]
    assert points.values[:3].tolist() == [10, 25, 31]


def test_a_resume_within_a_point_loses_no_bit_of_it(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_curve, "LOSS_POINTS", 2)
    drawn = torch.rand(10, 2, generator=torch.Generator().manual_seed(0))
    losses = [{LOSS: loss, "part": part} for loss, part in drawn]
    whole, cut = LossCurve(recording, 10, CPU), LossCurve(recording, 10, CPU)
    resumed = LossCurve(recording, 10, CPU)
    for step in range(1, 4):
        whole.add(step, losses[step - 1])
        cut.add(step, losses[step - 1])
    recording.flush()
    resumed.restore(json.loads(json.dumps(cut.state())))
    resumed.watch.restore(json.loads(json.dumps(cut.watch.state())))
    for step in range(4, 11):
        whole.add(step, losses[step - 1])
        resumed.add(step, losses[step - 1])
    recording.close()
    for tag in ("train/loss", "train/part"):
        values = read_scalars(tmp_path / "tensorboard")[tag].values
        assert len(values) == 4
        assert values[0] == values[1]
        assert values[2] == values[3]
    assert resumed.watch.state() == whole.watch.state()
