import os
import subprocess
from pathlib import Path

import pytest
from ended_runs import make_run

from rlmaster.run_folder import RunFolder
from rlmaster.storage import Meter, measure, measure_run
from rlmaster.trash import delete

pytestmark = pytest.mark.usefixtures("own_locks")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "rüns of all"


def counted_by_du(path: Path) -> int:
    done = subprocess.run(["du", "-s", "-B1", path], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def test_the_sum_is_what_du_counts(runs):
    kept, deleted = make_run(runs), make_run(runs, "breakout")
    (runs / ".snapshots" / ("0" * 64)).mkdir(parents=True)
    (runs / ".snapshots" / ("0" * 64) / "code.py").write_text("x = 1\n")
    (runs / ".snapshots" / ".partial-x").mkdir()
    (runs / ".index.sqlite").write_bytes(bytes(10_000))
    (runs / "pong" / "notes.txt").write_text("by hand")
    (runs / "pong" / "20260101-000000-abcdef").mkdir()  # a launch that was cut
    (runs / "pong" / "link").symlink_to("/usr")
    (runs / "loop").symlink_to(runs)
    delete(deleted)

    room = measure(runs, Meter())

    assert room.size_bytes == counted_by_du(runs)
    assert [one.run.path for one in room.runs] == [kept.path]
    assert room.runs[0].size_bytes == counted_by_du(kept.path)
    assert [(t.run_id, size) for t, size in room.trash] == [
        (deleted.id, counted_by_du(room.trash[0][0].path))
    ]
    assert room.snapshots_bytes == [counted_by_du(runs / ".snapshots" / ("0" * 64))]
    assert room.other_bytes > 10_000


def test_a_run_is_measured_by_kind(runs):
    run = make_run(runs)
    kilobytes = {
        "checkpoints": run.checkpoints / "update-000000009" / "state.pt",
        "replay": run.replay / "chunk-000000.npz",
        "tensorboard": run.tensorboard / "images" / "events",
        "previews": run.previews / "a.png",
        "videos": run.videos / "a.mp4",
        "tensors": run.tensors / "a.safetensors",
        "report": run.report / "report.pdf",
        "log": run.log_file,
        "other": run.path / "notes of mine" / "b.txt",
    }
    empty = measure_run(run, Meter()).bytes_by_kind
    for number, file in enumerate(kilobytes.values()):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom((number + 1) * 100 * 4096))
    run.plots.mkdir()
    (run.plots / "loss.png").write_bytes(bytes(4096))

    found = measure_run(run, Meter()).bytes_by_kind

    assert set(found) == set(kilobytes)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert sum(found.values()) == counted_by_du(run.path)
    for number, kind in enumerate(kilobytes):
        more = found[kind] - empty.get(kind, 0) - (number + 1) * 100 * 4096
        assert 0 <= more <= 4 * 4096, kind  # its folders, and the plot


def test_the_largest_comes_first(runs):
    small, large = make_run(runs), make_run(runs)
    (large.path / "log.txt").write_bytes(bytes(500_000))

    assert [one.run.id for one in measure(runs, Meter()).runs] == [large.id, small.id]


def test_a_file_with_several_names_counts_once_and_for_the_oldest(runs):
    first = make_run(runs)
    second = RunFolder(first.path.with_name("99990101-000000-abcdef"))
    second.path.mkdir()
    (second.path / "run.json").write_text("{}")
    shared = first.checkpoints / "update-000000003" / "state.pt"
    os.link(shared, second.path / "log.txt")

    room = measure(runs, Meter())

    log = {one.run.id: one.bytes_by_kind.get("log", 0) for one in room.runs}
    assert log == {first.id: 0, second.id: 0}
    assert room.size_bytes == counted_by_du(runs)


def test_where_there_is_nothing_nothing_is_counted(runs):
    assert measure(runs, Meter()).size_bytes == 0


def test_what_vanishes_or_may_not_be_read_costs_its_part_only(runs, monkeypatch):
    run = make_run(runs)
    usual = measure_run(run, Meter())
    real = os.scandir

    def scandir(path):
        if str(path).endswith("checkpoints"):
            raise PermissionError(13, "Permission denied")
        if str(path).endswith("previews"):
            raise FileNotFoundError(2, "No such file or directory")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    meter = Meter()
    found = measure_run(run, meter)

    assert meter.unreadable == [run.checkpoints]
    assert found.bytes_by_kind["checkpoints"] < 10_000
    assert found.bytes_by_kind["other"] == usual.bytes_by_kind["other"]


def test_progress_is_told_of_many_files(runs):
    (runs / "many").mkdir(parents=True)
    for number in range(2_500):
        (runs / "many" / str(number)).touch()
    told: list[int] = []

    measure(runs, Meter(told.append))

    assert told == [1_000, 2_000]
