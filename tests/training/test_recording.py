"""Recording: everything handed over is kept, and the loop never waits for it."""

import json
import os
import shutil
import threading
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlmaster.events import read_events
from rlmaster.reports.scalars import read_scalars
from rlmaster.run_folder import RunFolder
from rlmaster.training.recording import Recording


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(
        tmp_path,
        config={"name": "recorded"},
        rationale="to test",
        provenance={},
        digests={},
        differs_from_default=[],
    )


def test_scalars_are_in_the_tensorboard_files(run: RunFolder) -> None:
    recording = Recording(run)
    for step in (1, 2, 3):
        recording.scalars(step, {"train/loss": torch.tensor(0.5 * step), "rate": 2.0})
    recording.close()
    series = read_scalars(run.tensorboard)["train/loss"]
    assert series.steps.tolist() == [1, 2, 3]
    assert series.values.tolist() == [0.5, 1.0, 1.5]
    assert run.progress().values == {"train/loss": 1.5, "rate": 2.0}


def test_a_tensor_is_of_the_moment_it_was_handed_over(run: RunFolder) -> None:
    recording = Recording(run)
    value = torch.zeros(2, 3)
    recording.tensor("weights", value, step=4)
    value += 1
    recording.close()
    kept = load_file(run.tensors / "weights-000000004.safetensors")["weights"]
    assert torch.equal(kept, torch.zeros(2, 3))


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "with space"])
def test_a_tensor_cannot_leave_its_folder(run: RunFolder, name: str) -> None:
    recording = Recording(run)
    with pytest.raises(ValueError, match="no name for a tensor"):
        recording.tensor(name, torch.zeros(1))
    recording.close()


def test_previews_events_and_results_are_kept(run: RunFolder) -> None:
    recording = Recording(run)
    picture = Image.new("RGB", (4, 3), (200, 10, 10))
    picture.info["zoomed_panels"] = "[]"
    recording.preview(7, lambda: picture)
    recording.event("new_best", "lower than ever", 7, error=0.25)
    recording.result({"value": 0.25})
    recording.close()
    with Image.open(run.preview_files()[0]) as kept:
        assert kept.size == (4, 3)
        assert kept.info["zoomed_panels"] == "[]"
    (event,), _ = read_events(run.training_events)
    assert (event.kind, event.step) == ("new_best", 7)
    assert (event.severity, event.values) == ("good", {"error": 0.25})
    assert run.progress().result == {"value": 0.25}
    assert list(run.tensorboard_images.glob("events*"))


def test_progress_says_phase_and_step(run: RunFolder) -> None:
    recording = Recording(run)
    recording.phase("training", 200, "updates")
    recording.advance(50)
    recording.close()
    progress = run.progress()
    assert (progress.phase, progress.step, progress.total, progress.axis) == (
        "training",
        50,
        200,
        "updates",
    )


def test_a_phase_that_is_resumed_counts_only_what_it_does_itself(run: RunFolder) -> None:
    recording = Recording(run)
    recording.phase("training", 200, "updates", 150)
    recording.flush()
    assert run.progress().step == 150
    recording.close()
    assert (run.progress().rate_per_s, run.progress().eta_s) == (0, None)


def test_folders_that_somebody_removed_are_made_again(run: RunFolder) -> None:
    recording = Recording(run)
    shutil.rmtree(run.previews)
    shutil.rmtree(run.training_events.parent)
    recording.preview(7, lambda: Image.new("RGB", (4, 3)))
    recording.event("note", "still kept")
    recording.close()
    assert len(run.preview_files()) == 1
    assert len(read_events(run.training_events)[0]) == 1


def test_what_the_background_notices_is_kept_before_what_waits(run: RunFolder) -> None:
    recording = Recording(run)
    found: list[str] = []
    loop_is_done = threading.Event()

    def notice() -> None:
        loop_is_done.wait(20)
        recording.event("diverged", "far too high", 7)

    recording.later(notice)
    recording.after_all(lambda: found.extend(e.kind for e in read_events(run.training_events)[0]))
    loop_is_done.set()
    recording.close()
    assert found == ["diverged"]


def test_the_loop_goes_on_while_the_disk_is_slow(run: RunFolder) -> None:
    recording = Recording(run)
    disk_answers = threading.Event()
    recording.later(disk_answers.wait)
    for step in range(10_000):  # would stop here if handing over waited for the disk
        recording.scalars(step, {"train/loss": 1.0})
    assert not run.tensorboard.exists()
    disk_answers.set()
    recording.close()
    assert len(read_scalars(run.tensorboard)["train/loss"].steps) == 10_000


def test_a_full_disk_ends_the_loop_with_its_reason(run: RunFolder) -> None:
    recording = Recording(run)

    def full_disk() -> None:
        raise OSError(28, "No space left on device")

    recording.later(full_disk)
    with pytest.raises(OSError, match="No space left"):
        recording.close()
    with pytest.raises(OSError, match="No space left"):
        recording.scalars(1, {"train/loss": 1.0})


def test_hyperparameters_are_where_tensorboard_looks(run: RunFolder) -> None:
    recording = Recording(run)
    recording.hyperparameters({"training.batch_size": 32, "tags": ("a",)}, ["held_out/error"])
    recording.close()
    content = b"".join(path.read_bytes() for path in run.tensorboard.glob("events*"))
    assert b"training.batch_size" in content
    assert b"_hparams_/session_start_info" in content


def test_progress_file_is_json_for_other_programs(run: RunFolder) -> None:
    recording = Recording(run)
    recording.phase("collecting", 10, "steps")
    recording.close()
    assert json.loads(run.progress_file.read_text())["phase"] == "collecting"


def test_a_curve_that_cannot_be_finished_is_a_failure(run: RunFolder) -> None:
    recording = Recording(run)
    recording.scalars(1, {"train/loss": 1.0})
    recording.flush()
    (event_file,) = recording._event_files.values()
    close = event_file.close

    def full_disk() -> None:
        close()
        raise OSError(28, "No space left on device")

    event_file.close = full_disk  # type: ignore[method-assign]
    with pytest.raises(OSError, match="No space left"):
        recording.close()


def test_what_is_no_number_is_left_out_of_the_progress_file(run: RunFolder) -> None:
    recording = Recording(run)
    recording.scalars(1, {"train/loss": 1.0, "rate": 2.0})
    recording.scalars(2, {"train/loss": float("nan"), "rate": 3.0})
    recording.result({"value": float("inf"), "metric": "held_out/error"})
    recording.close()

    def refuse(word: str) -> None:
        raise AssertionError(word)

    written = json.loads(run.progress_file.read_text(), parse_constant=refuse)
    assert written["values"] == {"rate": 3.0}
    assert written["result"] == {"metric": "held_out/error"}


def test_long_writing_aside_holds_up_nothing_but_the_end(run: RunFolder) -> None:
    recording = Recording(run)
    disk_answers, written = threading.Event(), threading.Event()

    def write() -> None:
        assert disk_answers.wait(20)
        written.set()

    recording.aside(write)
    recording.event("note", "meanwhile")
    recording.flush()
    assert [event.message for event in read_events(run.training_events)[0]] == ["meanwhile"]
    disk_answers.set()
    recording.close()
    assert written.is_set()


def test_a_failure_aside_is_the_recordings(run: RunFolder) -> None:
    recording = Recording(run)

    def full_disk() -> None:
        raise OSError(28, "No space left on device")

    recording.aside(full_disk)
    with pytest.raises(OSError, match="No space left"):
        recording.close()


def test_waiting_for_a_recording_that_failed_ends_with_its_reason(run: RunFolder) -> None:
    recording = Recording(run)
    disk_answers = threading.Event()

    def full_disk() -> None:
        disk_answers.wait(20)
        raise OSError(28, "No space left on device")

    recording.later(full_disk)
    threading.Timer(0.05, disk_answers.set).start()
    with pytest.raises(OSError, match="No space left"):
        recording.flush()


def test_long_pieces_aside_are_done_in_their_order(run: RunFolder) -> None:
    recording = Recording(run)
    disk_answers, done = threading.Event(), list[int]()
    recording.aside(lambda: (disk_answers.wait(20), done.append(1)))
    recording.aside(lambda: done.append(2))
    disk_answers.set()
    recording.close()
    assert done == [1, 2]


def test_the_next_attempt_goes_on_with_the_curves_from_its_first_step(run: RunFolder) -> None:
    for first_step, last_step in ((0, 6), (4, 8)):
        recording = Recording(run)
        recording.begin(first_step)
        for step in range(first_step, last_step):
            recording.scalars(step, {"train/loss": float(first_step)})
        recording.close()
    curve = read_scalars(run.tensorboard)["train/loss"]
    assert curve.steps.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert curve.values.tolist() == [0, 0, 0, 0, 4, 4, 4, 4]


def test_what_was_measured_at_a_checkpoint_s_step_is_there_once(run: RunFolder) -> None:
    known: list[tuple[str, float]] = []
    recording = Recording(run)
    recording.scalars(3, {"train/loss": 3.0})
    recording.scalars(4, {"train/loss": 4.0})
    recording.scalars(4, {"train/rate": 0.5})
    recording.later(partial(lambda first: known.extend(first.points_at(4)), recording))
    recording.close()
    for evaluation in (0.25, 0.5):  # the first is killed before a checkpoint says so
        recording = Recording(run)
        recording.begin(5, known)
        recording.scalars(4, {"evaluation/return": evaluation})
        recording.close()
    assert known == [("train/loss", 4.0), ("train/rate", 0.5)]
    assert recording.points_at(4) == [*known, ("evaluation/return", 0.5)]
    assert recording.points_at(3) == []
    curves = read_scalars(run.tensorboard).items()
    assert {tag: (each.steps.tolist(), each.values.tolist()) for tag, each in curves} == {
        "train/loss": ([3, 4], [3.0, 4.0]),
        "train/rate": ([4], [0.5]),
        "evaluation/return": ([4], [0.5]),
    }


def test_pictures_of_a_checkpoint_s_step_stay(run: RunFolder) -> None:
    for first_step, points in ((0, None), (5, [])):
        recording = Recording(run)
        recording.begin(first_step, points)
        recording.preview(max(4, first_step), lambda: Image.new("RGB", (4, 3)))
        recording.close()
    shown = EventAccumulator(str(run.tensorboard_images))
    shown.Reload()
    assert [image.step for image in shown.Images("preview")] == [4, 5]


def test_an_event_is_written_once_however_often_it_happens_again(run: RunFolder) -> None:
    for error in (0.25, 0.26):  # as it may come out of a resume on a GPU
        recording = Recording(run)
        recording.event("damaged", "a chunk", 5)
        recording.event("resumed", "goes on from update 5", 5)
        recording.event("new_best", f"{error}, lower than ever", 7)
        recording.event("note", "of this step", 7)
        recording.event("note", "another one", 7)
        recording.close()
    events, _ = read_events(run.training_events)
    assert [(event.kind, event.message) for event in events] == [
        ("damaged", "a chunk"),
        ("resumed", "goes on from update 5"),
        ("new_best", "0.25, lower than ever"),
        ("note", "of this step"),
        ("note", "another one"),
        ("damaged", "a chunk"),
        ("resumed", "goes on from update 5"),
    ]


def test_curves_and_events_are_on_disk_before_what_counts_only_then(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda number: synced.add(os.fstat(number).st_ino))
    recording = Recording(run)
    recording.scalars(3, {"train/loss": 0.5})
    recording.event("note", "before")
    found: list[object] = []

    def look() -> None:
        (file,) = run.tensorboard.glob("events*")
        found.extend(read_scalars(run.tensorboard)["train/loss"].steps)
        found.extend(event.message for event in read_events(run.training_events)[0])
        found.append({file.stat().st_ino, run.training_events.stat().st_ino} <= synced)

    recording.after_all(look)
    recording.close()
    assert found == [3, "before", True]


def test_the_result_of_an_earlier_attempt_stays_until_training_begins_anew(run: RunFolder) -> None:
    recording = Recording(run)
    recording.scalars(1, {"train/loss": 1.0})
    recording.result({"value": 0.25})
    recording.close()
    for first_step, kept in ((2, True), (0, False)):
        recording = Recording(run)
        recording.begin(first_step)
        recording.phase("restoring", 10, "rows")
        recording.close()
        assert bool(run.progress().result) is kept
        assert bool(run.progress().values) is kept
