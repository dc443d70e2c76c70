import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.tensorboard import SummaryWriter

from rlmaster.reports.scalars import ScalarReader, Series, read_scalars, smooth
from tests.reports.conftest import write_scalars


def only_file(folder):
    (path,) = folder.glob("*tfevents*")
    return path


def test_reads_what_a_summary_writer_wrote(tmp_path):
    write_scalars(tmp_path, {"train/loss": 3, "held_out/error": 1})
    series = read_scalars(tmp_path)
    assert set(series) == {"train/loss", "held_out/error"}
    assert series["train/loss"].steps.tolist() == [0, 1, 2]
    assert series["train/loss"].values == pytest.approx([1, 1 / 2, 1 / 3])
    assert series["train/loss"].wall_times.tolist() == [1000, 1001, 1002]


def test_scalar_tensors_count_and_everything_else_is_passed_over(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("new", 0.25, 7, new_style=True)
        writer.add_scalar("double", 0.1, 7, new_style=True, double_precision=True)
        writer.add_text("words", "hello", 7)
        writer.add_histogram("many", np.arange(3.0), 7)
    series = read_scalars(tmp_path)
    assert {tag: points.values.tolist() for tag, points in series.items()} == {
        "new": [0.25],
        "double": [0.1],
    }


def test_subfolders_and_missing_folders_hold_no_scalars(tmp_path):
    assert read_scalars(tmp_path / "none") == {}
    write_scalars(tmp_path / "images", {"preview": 1})
    assert read_scalars(tmp_path) == {}


def test_an_event_file_that_is_no_plain_file_is_not_opened(tmp_path):
    write_scalars(tmp_path / "elsewhere", {"a": 1})
    link = tmp_path / "events.out.tfevents.1"
    detours = Path(*["elsewhere", ".."] * 100)  # a link's size is the length of its target
    link.symlink_to(tmp_path / detours / only_file(tmp_path / "elsewhere").relative_to(tmp_path))
    assert read_scalars(tmp_path) == {}


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_a_growing_file_gives_each_point_once_whatever_the_blocks(tmp_path, block):
    write_scalars(tmp_path / "whole", {"a": 30})
    content = only_file(tmp_path / "whole").read_bytes()
    growing = tmp_path / "events.out.tfevents.1"
    growing.touch()
    reader = ScalarReader(tmp_path)
    changes = 0
    for start in range(0, len(content), block):
        with growing.open("ab") as file:
            file.write(content[start : start + block])
        changes += reader.update()
    assert reader.series["a"].steps.tolist() == list(range(30))
    assert reader.notes == []
    assert changes <= 30 + 1  # the file's first record is its version
    assert not reader.update()


def test_a_view_stays_as_it_was(tmp_path):
    write_scalars(tmp_path, {"a": 5})
    reader = ScalarReader(tmp_path)
    reader.update()
    before = reader.series["a"].steps
    write_scalars(tmp_path, {"a": 1}, start=9, purge_step=3)
    reader.update()
    assert before.tolist() == [0, 1, 2, 3, 4]
    assert reader.series["a"].steps.tolist() == [0, 1, 2, 9]


def test_a_resume_drops_what_the_attempt_before_did_after_its_checkpoint(tmp_path):
    write_scalars(tmp_path, {"a": 10, "b": 2})
    write_scalars(tmp_path, {"a": 2}, start=4, purge_step=4)
    series = read_scalars(tmp_path)
    assert series["a"].steps.tolist() == [0, 1, 2, 3, 4, 5]
    assert series["b"].steps.tolist() == [0, 1]


def test_late_bytes_of_an_older_attempt_do_not_bring_dropped_points_back(tmp_path):
    write_scalars(tmp_path / "whole", {"a": 10})
    content = only_file(tmp_path / "whole").read_bytes()
    older = tmp_path / "events.out.tfevents.1"
    older.write_bytes(content[: len(content) // 2])
    write_scalars(tmp_path, {"a": 2}, start=8, purge_step=8)
    reader = ScalarReader(tmp_path)
    reader.update()
    older.write_bytes(content)
    assert reader.update()
    assert reader.series["a"].steps.tolist() == list(range(10))


@pytest.mark.parametrize("change", ["shrunk", "older file appears"])
def test_files_that_change_otherwise_are_read_again(tmp_path, change):
    write_scalars(tmp_path, {"a": 3})
    reader = ScalarReader(tmp_path)
    reader.update()
    if change == "shrunk":
        only_file(tmp_path).write_bytes(b"")
    else:
        write_scalars(tmp_path / "other", {"b": 1})
        only_file(tmp_path / "other").rename(tmp_path / "events.out.tfevents.1")
    assert reader.update()
    assert set(reader.series) == (set() if change == "shrunk" else {"a", "b"})


@pytest.mark.parametrize("where", ["length", "content"])
def test_a_damaged_record_ends_that_file_with_a_note(tmp_path, where):
    write_scalars(tmp_path / "whole", {"a": 3})
    content = bytearray(only_file(tmp_path / "whole").read_bytes())
    last = content.rindex(b"\n\x01a") - 20  # within the last record
    start = content.index(b"\n\x01a") + 10  # after the first
    position = content.index(bytes(7), start) - 1 if where == "length" else last + 20
    content[position] ^= 0xFF
    (tmp_path / "events.out.tfevents.1").write_bytes(content)
    reader = ScalarReader(tmp_path)
    assert reader.update()
    assert len(reader.series["a"]) < 3
    assert len(reader.notes) == 1
    assert "tfevents.1 cannot be read beyond byte" in reader.notes[0]
    assert not reader.update()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(max_size=300))
def test_garbage_is_never_an_exception(tmp_path, garbage):
    (tmp_path / "events.out.tfevents.1").write_bytes(garbage)
    assert read_scalars(tmp_path) == {}


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=40))
def test_a_series_agrees_with_a_list(operations):
    series, expected = Series(), []
    for number, (step, drops) in enumerate(operations):
        if drops:
            series.drop_from(step)
            expected = [point for point in expected if point[0] < step]
        else:
            series.append(step, number, 0.0)
            expected.append((step, number))
    series.settle()
    expected.sort(key=lambda point: point[0])
    assert list(zip(series.steps, series.values, strict=True)) == expected


def test_smoothing_is_tensorboards():
    values = np.array([1.0, 2.0, np.nan, 4.0])
    by_hand = [1.0, (0.5 * 0.5 * 1 + 0.5 * 2) / 0.75, np.nan, (0.125 + 0.5 + 2.0) / 0.875]
    np.testing.assert_allclose(smooth(values, 0.5), by_hand)
    np.testing.assert_array_equal(smooth(values, 0), values)
    with pytest.raises(ValueError, match="below 1"):
        smooth(values, 1.0)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 1000])
@pytest.mark.parametrize("weight", [0.0, 0.6, 0.999])
def test_smoothing_many_values_is_smoothing_one_after_another(length, weight):
    values = np.random.default_rng(length).normal(size=length)
    values[3::7] = np.nan
    slowly, average, share_of_start = values.copy(), 0.0, 1.0
    for index, value in enumerate(values):
        if np.isfinite(value):
            average = weight * average + (1 - weight) * value
            share_of_start *= weight
            slowly[index] = average / (1 - share_of_start)
    np.testing.assert_allclose(smooth(values, weight), slowly, rtol=1e-9)


def test_reading_scalars_loads_neither_matplotlib_nor_torch_nor_tensorboard_itself():
    program = (
        "import sys, rlmaster.reports.scalars, rlmaster.reports.summary;"
        "print({'matplotlib', 'torch', 'jinja2', 'tensorboard.backend'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", program]) == b"set()\n"


def test_a_first_attempt_that_ends_in_half_a_record_does_not_stop_the_second(tmp_path):
    write_scalars(tmp_path / "whole", {"a": 6})
    content = only_file(tmp_path / "whole").read_bytes()
    (tmp_path / "events.out.tfevents.1").write_bytes(content[:-7])
    write_scalars(tmp_path, {"a": 2}, start=4, purge_step=4)
    reader = ScalarReader(tmp_path)
    reader.update()
    assert reader.series["a"].steps.tolist() == [0, 1, 2, 3, 4, 5]
    assert reader.notes == []
