"""Event files: our reader and TensorBoard's own see one curve, whatever the clock did."""

import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as PluginEventAccumulator,
)
from tensorboard.util.tensor_util import make_ndarray
from torch.utils.tensorboard.summary import scalar

from rlmaster.reports.scalars import read_scalars
from rlmaster.training.event_files import EventFile


def write(folder: Path, first_step: int, stop_step: int, value: float) -> None:
    file = EventFile(folder, first_step)
    for step in range(first_step, stop_step):
        file.add(scalar("loss", value), step)
    file.close()


@pytest.mark.parametrize("clock_change_s", [3600, 0, -3600])
def test_attempts_are_read_in_their_order_even_if_the_clock_was_set_back(
    clock_change_s: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    write(tmp_path, 0, 6, value=1.0)
    (first,) = tmp_path.iterdir()
    first.write_bytes(first.read_bytes()[:-5])  # killed within a record
    monkeypatch.setattr(time, "time", lambda: now + clock_change_s)
    write(tmp_path, 3, 5, value=2.0)
    write(tmp_path, 4, 7, value=3.0)
    expected = {0: 1.0, 1: 1.0, 2: 1.0, 3: 2.0, 4: 3.0, 5: 3.0, 6: 3.0}
    curve = read_scalars(tmp_path)["loss"]
    assert curve.steps.tolist() == list(expected)
    assert dict(zip(curve.steps, curve.values, strict=True)) == expected
    theirs = EventAccumulator(str(tmp_path))
    theirs.Reload()
    assert {event.step: event.value for event in theirs.Scalars("loss")} == expected
    shown = PluginEventAccumulator(str(tmp_path))
    shown.Reload()
    points = [
        (event.step, float(make_ndarray(event.tensor_proto))) for event in shown.Tensors("loss")
    ]
    assert points == list(expected.items())


def test_what_was_flushed_is_there_for_readers(tmp_path: Path) -> None:
    file = EventFile(tmp_path, 0)
    file.add(scalar("loss", 0.5), 1)
    file.flush()
    assert read_scalars(tmp_path)["loss"].steps.tolist() == [1]
    file.close()


def test_the_second_attempt_voids_points_of_the_first_for_tensorboard_too(tmp_path: Path) -> None:
    write(tmp_path, 0, 6, value=1.0)
    write(tmp_path, 3, 4, value=2.0)
    shown = PluginEventAccumulator(str(tmp_path), purge_orphaned_data=True)
    shown.Reload()
    assert [event.step for event in shown.Tensors("loss")] == [0, 1, 2, 3]
