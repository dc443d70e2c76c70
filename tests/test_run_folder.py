import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlmaster import run_folder
from rlmaster.durable_files import write_json
from rlmaster.errors import RunFolderError
from rlmaster.run_folder import Progress, RunFolder, as_float_map, list_runs
from rlmaster.run_status import State, Status


def make_run(runs, name="pong", rationale="why") -> RunFolder:
    return RunFolder.create(
        runs,
        config={"name": name, "seed": 1},
        rationale=rationale,
        provenance={"script": "x.py"},
        digests={"experiment": "e", "snapshot": "s"},
        differs_from_default=["seed"],
    )


def make_run_called(runs, name, run_id) -> RunFolder:
    made = make_run(runs, name)
    made.path.rename(made.path.parent / run_id)
    return RunFolder(made.path.parent / run_id)


# ------------------------------------------------------------------------------------ creation


def test_a_new_run_holds_all_that_was_decided_at_launch(tmp_path):
    run = make_run(tmp_path, rationale="  Because.\nAnd so on.\n\n")

    assert run.exists()
    assert re.fullmatch(r"\d{8}-\d{6}-[2-9a-hjkmnp-z]{6}", run.id)
    assert run.path == tmp_path / "pong" / run.id
    assert run.config() == {"name": "pong", "seed": 1}
    assert run.rationale() == "Because.\nAnd so on."
    assert run.provenance() == {"script": "x.py"}
    assert run.run() | {"created": ""} == {
        "schema_version": 1,
        "id": run.id,
        "name": "pong",
        "created": "",
        "parents": [],
        "study": None,
        "digests": {"experiment": "e", "snapshot": "s"},
        "differs_from_default": ["seed"],
    }
    assert run.status() == Status(State.PREPARED, since=run.run()["created"])


def test_ids_are_exclusive_however_many_are_made_at_once(tmp_path, monkeypatch):
    # 64 ids a second are possible, so that some of the 50 must meet one that is taken.
    monkeypatch.setattr(run_folder, "ID_CHARACTERS", "ab")
    with ThreadPoolExecutor(50) as pool:
        made = list(pool.map(lambda _number: make_run(tmp_path), range(50)))

    assert len({run.path for run in made}) == 50
    assert len(list_runs(tmp_path)) == 50


def test_a_folder_without_its_last_file_is_no_run(tmp_path):
    run = make_run(tmp_path)
    run.run_file.unlink()

    assert not run.exists()
    assert list_runs(tmp_path) == []
    with pytest.raises(RunFolderError, match=r"run\.json is missing or damaged"):
        run.run()


def test_run_json_is_written_last(tmp_path, monkeypatch):
    written: list[str] = []
    real = run_folder.write_json

    def record(path, data, **options):
        written.append(path.name)
        real(path, data, **options)

    monkeypatch.setattr(run_folder, "write_json", record)
    make_run(tmp_path)

    assert written == ["config.json", "provenance.json", "run.json"]


def test_where_nothing_can_be_written_the_error_says_so(tmp_path):
    (tmp_path / "runs").write_text("a file where the folder should be")

    with pytest.raises(RunFolderError, match="cannot make a run folder in"):
        make_run(tmp_path / "runs")


# -------------------------------------------------------------------------------------- states


def test_status_and_progress_come_back(tmp_path):
    run = make_run(tmp_path)
    status = Status(State.FAILED, 1, "then", "now", "cpu:0", None, 9, "killed")
    progress = Progress("training", 3, 9, "updates", 1.5, None, {"a": 1.0}, {"value": 0.1})

    run.write_status(status)
    run.write_progress(progress)

    assert run.status() == status
    assert run.progress() == progress


def test_fields_of_a_later_version_are_passed_over(tmp_path):
    run = make_run(tmp_path)
    write_json(run.status_file, {"state": "running", "mood": "good"})
    write_json(run.progress_file, {"step": 4, "mood": "good"})

    assert run.status() == Status(State.RUNNING)
    assert run.progress() == Progress(step=4)


def test_what_is_not_there_yet_is_empty(tmp_path):
    run = make_run(tmp_path)
    run.provenance_file.unlink()

    assert run.progress() == Progress()
    assert (run.provenance(), run.environment(), run.conclusion()) == ({}, {}, "")
    assert (run.attempts(), run.preview_files(), run.video_files()) == ([], [], [])


def test_attempts_are_kept_in_order(tmp_path):
    run = make_run(tmp_path)
    run.append_attempt({"attempt": 1})
    run.append_attempt({"attempt": 2})

    assert [attempt["attempt"] for attempt in run.attempts()] == [1, 2]


# --------------------------------------------------------------------------------- listing runs


@pytest.fixture
def three_runs(tmp_path) -> list[RunFolder]:
    """Three runs in a folder `runs`, oldest first."""
    runs = tmp_path / "runs"
    return [
        make_run_called(runs, "pong", "20260101-100000-aaaaa2"),
        make_run_called(runs, "breakout", "20260101-110000-bbbbb3"),
        make_run_called(runs, "pong", "20260102-100000-ccccc4"),
    ]


def test_runs_are_listed_newest_first_and_nothing_else_is(three_runs, tmp_path):
    runs = tmp_path / "runs"
    hidden = runs / ".snapshots" / "abc"
    hidden.mkdir(parents=True)
    shutil.copy(three_runs[0].run_file, hidden)
    (runs / "pong" / "unfinished").mkdir()
    (runs / "notes.txt").write_text("")

    assert [run.short_id for run in list_runs(runs)] == ["ccccc4", "bbbbb3", "aaaaa2"]


def test_only_numbers_stay_in_a_map_of_floats():
    assert as_float_map(json.loads('{"a": 1, "b": "x", "c": null, "d": 2.5}')) == {
        "a": 1.0,
        "d": 2.5,
    }
    assert as_float_map(["a"]) == {}


@pytest.mark.parametrize("counted", ["update", "step"])
def test_checkpoints_are_found_whatever_their_names_count(tmp_path, counted):
    run = make_run(tmp_path)
    for name in (f"{counted}-000000020", f"{counted}-000000007", "best-000000007", "step-9"):
        (run.checkpoints / name).mkdir(parents=True)
        write_json(run.checkpoints / name / "manifest.json", {"sha256": {}})
    (run.checkpoints / "step-9" / "manifest.json").unlink()

    assert [path.name[-2:] for path in run.checkpoint_folders()] == ["07", "20"]
    newest = run.find_checkpoint()
    assert newest is not None
    assert newest.name == f"{counted}-000000020"
