import fcntl
import sqlite3
from pathlib import Path

import pytest
from made_runs import complete, make_run, set_state
from small_disk import small_disk

from rlmaster.run_folder import list_runs
from rlmaster.run_index import RunIndex
from rlmaster.run_index import file as run_index_file
from rlmaster.run_index import reading as run_index_reading
from rlmaster.run_status import State


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """Three runs, which the index knows, and trusts to have ended some seconds ago."""
    monkeypatch.setattr(run_index_reading, "SETTLED_S", -1.0)
    runs = tmp_path / "runs"
    for value in (0.1, 0.2, 0.3):
        complete(make_run(runs), value)
    assert len(known(runs)) == 3
    return runs


def file_of(runs: Path) -> Path:
    return runs / ".index.sqlite"


def known(runs: Path) -> list[str]:
    with RunIndex(runs) as index:
        index.sync()
        assert index.note == ""
        return sorted(row.id for row in index.rows())


def there(runs: Path) -> list[str]:
    return sorted(run.id for run in list_runs(runs))


def change(runs: Path, *statements: str) -> None:
    """Change the index's file behind its back."""
    connection = sqlite3.connect(file_of(runs), isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("content", [b"", b"garbage" * 2000, b"SQLite format 3\0" + bytes(5000)])
def test_a_file_that_is_no_index_is_replaced(runs, content):
    file_of(runs).write_bytes(content)

    assert known(runs) == there(runs)
    assert file_of(runs).read_bytes().startswith(b"SQLite format 3\0")
    assert len(file_of(runs).read_bytes()) > 5016


def test_a_file_of_another_version_is_read_anew(runs):
    change(runs, "UPDATE runs SET id = 'read otherwise'", "PRAGMA user_version = 0")

    assert known(runs) == there(runs)


def test_a_file_that_is_damaged_while_it_is_used_is_replaced(runs):
    with RunIndex(runs) as index:
        index.sync()
        change(runs, "DROP TABLE runs")

        assert sorted(row.id for row in index.rows()) == there(runs)
        assert index.note == ""
    assert known(runs) == there(runs)


def test_a_row_that_is_damaged_is_read_anew(runs):
    change(runs, "UPDATE runs SET tags = '[' || tags")

    assert known(runs) == there(runs)


def test_a_file_that_stays_damaged_is_given_up_for_memory(runs, monkeypatch):
    real = run_index_file.RunIndexFile._make

    def make_damaged(self):
        real(self)
        change(runs, "DROP TABLE runs")

    monkeypatch.setattr(run_index_file.RunIndexFile, "_make", make_damaged)
    change(runs, "DROP TABLE runs")

    with RunIndex(runs) as index:
        index.sync()
        assert sorted(row.id for row in index.rows()) == there(runs)
        assert "no such table" in index.note


def test_the_log_of_a_file_that_was_deleted_does_not_reach_the_next(runs):
    file_of(runs).unlink()
    log = file_of(runs).with_name(".index.sqlite-wal")
    with RunIndex(runs) as index:
        index.sync()
        kept = log.read_bytes()
    list_runs(runs)[0].write_conclusion("written since")
    file_of(runs).unlink()
    log.write_bytes(kept)

    with RunIndex(runs) as index:
        index.sync()
        assert "written since" in {row.conclusion for row in index.rows()}


def test_a_file_that_is_deleted_as_it_is_opened_is_made_anew(runs, monkeypatch):
    connect = run_index_file._connect

    def delete_and_connect(uri: str) -> sqlite3.Connection:
        monkeypatch.setattr(run_index_file, "_connect", connect)
        file_of(runs).unlink()
        return connect(uri)

    monkeypatch.setattr(run_index_file, "_connect", delete_and_connect)
    assert known(runs) == there(runs)
    assert file_of(runs).exists()


def test_a_file_that_is_held_is_waited_for_and_then_done_without(runs, monkeypatch):
    monkeypatch.setattr(run_index_file, "PATIENCE_S", 0.05)
    with (runs / ".index.sqlite.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with RunIndex(runs) as index:
            index.sync()
            assert sorted(row.id for row in index.rows()) == there(runs)
            assert "another process holds it" in index.note
    assert known(runs) == there(runs)


def test_what_could_not_be_told_to_a_file_is_read_anew_later(runs, monkeypatch):
    monkeypatch.setattr(run_index_file, "PATIENCE_S", 0.05)
    run = list_runs(runs)[0]
    writer = sqlite3.connect(file_of(runs), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    set_state(run, State.QUEUED)

    with RunIndex(runs) as index:
        index.refresh(run)
        assert "locked" in index.note
    writer.close()

    with RunIndex(runs) as index:
        index.sync()
        assert [found.id for found in index.active()] == [run.id]


def test_a_copy_of_a_file_that_nobody_finished_making_goes(runs):
    leftover = runs / ".index.sqlite.0123.tmp"
    leftover.write_text("cut off")
    file_of(runs).unlink()

    assert known(runs) == there(runs)
    assert not leftover.exists()


def test_an_error_of_ours_is_not_taken_for_damage_for_ever(runs):
    with RunIndex(runs) as index, pytest.raises(sqlite3.OperationalError, match="syntax error"):
        index._select("SELEKT")


@pytest.mark.parametrize("has_index", [True, False])
def test_where_nothing_can_be_written_it_works_from_memory(tmp_path, monkeypatch, has_index):
    monkeypatch.setattr(run_index_reading, "SETTLED_S", -1.0)
    runs = tmp_path / "runs"
    runs.mkdir()
    with small_disk(runs) as disk:
        for _ in range(3):
            complete(make_run(runs), 0.1)
        if has_index:
            known(runs)
        make_run(runs)  # which no index knows
        disk.make_read_only()
        told: list[tuple[int, int]] = []

        with RunIndex(runs) as index:
            index.sync(lambda done, total: told.append((done, total)))
            found = sorted(row.id for row in index.rows())

        assert found == there(runs)
        assert told == ([(1, 1)] if has_index else [(4, 4)])
        assert "Read-only file system" in index.note


def test_a_full_disk_costs_the_index_and_nothing_else(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    with small_disk(runs) as disk:
        for _ in range(20):
            make_run(runs)
        disk.fill()

        with RunIndex(runs) as index:
            index.sync()
            found = sorted(row.id for row in index.rows())

        assert found == there(runs)
        assert "full" in index.note or "No space left" in index.note
