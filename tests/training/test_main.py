"""The training process: how it ends, and what it says then."""

import importlib
from pathlib import Path

import pytest
from made_runs import make_run

from rlmaster.durable_files import write_json
from rlmaster.errors import RunFolderError, TrainingError
from rlmaster.run_folder import RunFolder
from rlmaster.training.recording import Recording
from rlmaster.training.stopping import StopRequested

process = importlib.import_module("rlmaster.training.__main__")
FULL = OSError(28, "No space left on device")
NOT_TRAINABLE = TrainingError("the loss is not a number")


def full_disk() -> None:
    raise FULL


def wait_for_the_recording(_run: RunFolder, recording: Recording) -> None:
    recording.later(full_disk)
    recording.flush()


def stop(_run: RunFolder, _recording: Recording) -> None:
    raise StopRequested


def stop_beside_a_full_disk(_run: RunFolder, recording: Recording) -> None:
    recording.aside(full_disk)
    raise StopRequested


def diverge_beside_a_full_disk(_run: RunFolder, recording: Recording) -> None:
    recording.aside(full_disk)
    raise NOT_TRAINABLE


def end(_run: RunFolder, _recording: Recording) -> None:
    pass


def full_replay() -> None:
    raise RunFolderError("cannot write the replay") from FULL


def end_beside_a_full_replay(_run: RunFolder, recording: Recording) -> None:
    recording.aside(full_replay)


def end_beside_a_full_disk(_run: RunFolder, recording: Recording) -> None:
    recording.aside(full_disk)


@pytest.mark.parametrize(
    ("training", "exit_code", "sentences"),
    [
        (end, 0, []),
        (stop, 75, []),
        (wait_for_the_recording, 1, ["disk is full"]),
        (end_beside_a_full_disk, 1, ["disk is full"]),
        (stop_beside_a_full_disk, 1, ["disk is full"]),
        (end_beside_a_full_replay, 1, ["disk is full"]),
        (diverge_beside_a_full_disk, 1, ["the loss is not a number", "disk is full"]),
    ],
)
def test_each_failure_is_said_once_in_a_sentence(
    training: object,
    exit_code: int,
    sentences: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(process, "_train", training)
    run = tmp_path / "20261123-120000-abc234"
    run.mkdir()
    assert process.main(run) == exit_code
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(sentences)
    assert all(words in line for words, line in zip(sentences, said, strict=True))
    assert all("`rlmaster resume abc234`" in line for line in said if "disk" in line)


def test_a_mistake_in_code_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "_train", lambda *_: {}["missing"])
    assert process.main(tmp_path) == 1
    said = capsys.readouterr().err
    assert said.count("Traceback") == 1
    assert said.endswith("KeyError: 'missing'\n")


def test_a_run_whose_configuration_was_changed_does_not_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    write_json(run.provenance_file, {"experiment": {**run.config(), "seed": 7}})
    assert process.main(run.path) == 1
    assert "seed is 1 and was 7; `rlmaster branch" in capsys.readouterr().err
