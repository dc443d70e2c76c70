import fcntl
import json
import os
import platform
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ended_runs import age, make_run
from small_disk import SmallDisk, small_disk

from rlmaster.cli import storage
from rlmaster.cli.storage import readable
from rlmaster.durable_files import read_lines
from rlmaster.placement import Placement
from rlmaster.run_index import RunIndex
from rlmaster.run_lock import boot_id
from rlmaster.run_status import State, Status
from rlmaster.trash import delete, trash_folder, trashed_runs

pytestmark = pytest.mark.usefixtures("own_locks")


@pytest.fixture
def runs(project: Path) -> Path:
    return project / "runs"


def listed(runs: Path) -> set[str]:
    """Return the ids of the runs that the index has."""
    with RunIndex(runs) as index:
        return {row.id for row in index.rows()}


# -------------------------------------------------------------------------- delete and restore


def test_a_run_is_deleted_and_restored(command, runs):
    run = make_run(runs)
    command("runs")

    gone = command("delete", run.short_id, "--yes", "--json")

    (row,) = json.loads(gone.out)["runs"]
    (trashed,) = trashed_runs(runs)
    assert gone.code == 0
    assert f"run {run.short_id} of pong, completed: Held-out error is 0.250." in gone.err
    assert f"rlmaster restore {run.short_id} brings it back" in gone.err
    assert sum(row.pop("bytes_by_kind").values()) == row["bytes"] > 100_000
    ((noted,), _) = read_lines(runs / ".state" / "deleted.jsonl")
    assert noted["bytes"] == row.pop("bytes")
    assert row == {
        "id": run.id,
        "short_id": run.short_id,
        "name": "pong",
        "run_folder": str(run.path),
        "state": "completed",
        "result": "Held-out error is 0.250.",
        "built_on_by": [],
        "stays": None,
        "trash": str(trashed.path),
        "error": None,
    }
    assert listed(runs) == set()

    back = command("restore", run.short_id, "--json")

    assert (back.code, back.err) == (0, f"run {run.short_id} is back\n")
    assert json.loads(back.out) == {
        "run_id": run.id,
        "name": "pong",
        "run_folder": str(run.path),
    }
    assert listed(runs) == {run.id}


def test_what_stays_on_its_host_is_said_where_a_run_is_deleted(command, runs):
    run = make_run(runs)
    run.write_placement(Placement("office", "ssh", "node7", "node7-0", "/there", "/", "python3", 1))

    gone = command("delete", run.short_id, "--yes", "--json")

    assert "what office has of it stays there: /there" in gone.err
    (row,) = json.loads(gone.out)["runs"]
    assert row["stays"] == {"host": "office", "folder": "/there"}


def test_without_a_terminal_nobody_is_asked_and_nothing_is_changed(command, runs):
    run = make_run(runs)

    outcome = command("delete", run.short_id)

    assert outcome.code == 2
    assert f"run {run.short_id} of pong" in outcome.err
    assert outcome.err.splitlines()[-1] == (
        "nobody is asked here, so nothing was changed; --yes does it unasked"
    )
    assert run.exists()


class Person:
    """Somebody at a terminal of 100 columns with one command in it."""

    def __init__(self, rlmaster, *arguments: str) -> None:
        self._keyboard, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, *arguments],
            cwd=rlmaster.project,
            env=rlmaster.environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        self.seen = self._typed = ""

    def read_to(self, text: str) -> None:
        """Read until a text has come."""
        while text not in self.seen:
            self.seen += os.read(self._keyboard, 4096).decode()

    def type(self, text: str) -> None:
        self._typed = text
        os.write(self._keyboard, text.encode())

    def leave(self) -> int:
        """Read what else is said, and return the exit code."""
        with suppress(OSError):  # how Linux says that nobody writes there any more
            while True:
                while select.select([self._keyboard], [], [], 2.0)[0]:
                    self.seen += os.read(self._keyboard, 4096).decode()
                if self._typed == INTERRUPT:  # one just before the question is read may be lost
                    os.write(self._keyboard, INTERRUPT.encode())
        os.close(self._keyboard)
        return self._process.wait(30)


INTERRUPT = "\x03"
OWN_TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches the command
from rlmaster.cli import main
main()
"""


@pytest.mark.parametrize(
    ("typed", "goes", "code"),
    [("y\n", True, 0), ("n\n", False, 0), ("\n", False, 0), (INTERRUPT, False, 130)],
)
def test_at_a_terminal_a_person_is_asked_and_enter_is_no(rlmaster, typed, goes, code):
    run = make_run(rlmaster.project / "runs")
    person = Person(rlmaster, "delete", run.short_id)
    person.read_to("Move 1 run to the trash? [y/N]")
    assert run.exists()
    person.type(typed)
    assert person.leave() == code
    assert run.exists() != goes
    assert "Traceback" not in person.seen


def test_runs_that_build_on_one_are_named_unless_they_go_too(command, runs):
    parent = make_run(runs)
    child = make_run(runs, "agent", parents=[parent.id])

    alone = command("delete", parent.short_id)
    together = command("delete", parent.short_id, child.short_id)

    assert f"these runs build on it: agent/{child.id}" in alone.err
    assert "build on" not in together.err


def test_one_that_has_not_ended_keeps_all_of_them(command, runs):
    ended, live = make_run(runs), make_run(runs, state=State.RUNNING)

    outcome = command("delete", ended.short_id, live.short_id, "--yes")

    assert outcome.code == 1
    assert f"`rlmaster stop {live.short_id}` ends it" in outcome.err
    assert ended.exists()
    assert live.exists()


def test_a_run_that_was_killed_is_seen_to_have_ended(command, runs):
    run = make_run(runs)
    run.write_status(Status(State.RUNNING, host=platform.node(), boot_id=boot_id()))

    assert command("delete", run.short_id, "--yes").code == 0
    assert trashed_runs(runs)[0].run_id == run.id


def test_a_run_that_goes_away_meanwhile_costs_only_itself(command, runs, monkeypatch):
    first, second = make_run(runs), make_run(runs)
    monkeypatch.setattr(storage, "ask_first", lambda *_: delete(first))

    outcome = command("delete", first.short_id, second.short_id, "--json")

    rows = json.loads(outcome.out)["runs"]
    assert outcome.code == 1
    assert "somebody else" in rows[0]["error"]
    assert rows[0]["trash"] is None
    assert rows[1]["error"] is None
    assert len(trashed_runs(runs)) == 2


def test_a_run_named_twice_goes_once(command, runs):
    run = make_run(runs)
    outcome = command("delete", run.short_id, str(run.path), "--yes", "--json")
    assert outcome.code == 0
    assert len(json.loads(outcome.out)["runs"]) == 1


def test_a_run_outside_the_project_is_left_alone(command, tmp_path):
    run = make_run(tmp_path / "backup")
    outcome = command("delete", str(run.path), "--yes")
    assert outcome.code == 2
    assert "is not in" in outcome.err
    assert run.exists()
    assert not trash_folder(tmp_path / "backup").exists()


def test_names_cannot_move_the_cursor(command, runs):
    run = make_run(runs, "pong \x1b[2Jü")
    for arguments in (("delete", run.id), ("du",), ("du", run.id)):
        outcome = command(*arguments)
        assert "pong ü" in outcome.out + outcome.err
        assert "\x1b" not in outcome.out + outcome.err


def test_the_next_command_notes_what_a_cut_one_did_not(command, runs):
    delete(make_run(runs))
    stream = runs / ".state" / "deleted.jsonl"
    for arguments in (("gc", "--yes"), ("restore", "nobody"), ("delete", "nobody")):
        stream.unlink()
        command(*arguments)
        assert len(read_lines(stream)[0]) == 1


# ----------------------------------------------------------------------------------------- gc


def make_garbage(runs: Path) -> tuple[Path, Path]:
    """Make a run that was deleted long ago and a snapshot that nobody needs."""
    trashed = delete(make_run(runs))
    old = trashed.path.with_name(f"20200101-120000-{trashed.run_id}")
    trashed.path.rename(old)
    snapshot = runs / ".snapshots" / ("a" * 64)
    snapshot.mkdir(parents=True)
    age(snapshot, 3)
    return old, snapshot


def test_garbage_is_listed_and_then_removed(command, runs):
    paths = make_garbage(runs)

    refused = command("gc")
    assert refused.code == 2
    assert "trash: run " in refused.err
    assert "snapshot: snapshot aaaaaaaaaaaa of code that no run needs" in refused.err
    assert refused.err.splitlines()[-1].startswith("nobody is asked here")
    assert all(path.exists() for path in paths)

    done = command("gc", "--yes", "--json")
    rows = json.loads(done.out)
    assert done.code == 0
    assert [(row["kind"], row["removed"], row["error"]) for row in rows["garbage"]] == [
        ("trash", True, None),
        ("snapshot", True, None),
    ]
    assert rows["freed_bytes"] == sum(row["bytes"] for row in rows["garbage"]) > 100_000
    assert not any(path.exists() for path in paths)

    nothing = command("gc", "--json")
    assert (nothing.code, nothing.err) == (0, "there is nothing to remove\n")
    assert json.loads(nothing.out) == {"garbage": [], "freed_bytes": 0}


@pytest.mark.parametrize("age", ["30", "1.5d", "-1d", "d", "3y", "30 d", "9999999999d"])
def test_an_age_that_is_none_is_refused(command, age):
    outcome = command("gc", f"--older-than={age}")
    assert (outcome.code, outcome.out) == (2, "")
    assert "12h, 30d, 4w" in outcome.err


def test_how_old_trash_must_be_can_be_said(command, runs):
    delete(make_run(runs))
    for age_text, left in (("1h", 1), ("4w", 1), ("0d", 0)):
        assert command("gc", "--yes", "--older-than", age_text).code == 0
        assert len(trashed_runs(runs)) == left


def test_what_comes_into_use_while_a_person_thinks_stays(command, runs, monkeypatch):
    old, snapshot = make_garbage(runs)
    monkeypatch.setattr(
        storage,
        "ask_first",
        lambda *_: make_run(runs, provenance={"snapshot": {"digest": snapshot.name}}),
    )

    outcome = command("gc", "--json")

    assert [row["path"] for row in json.loads(outcome.out)["garbage"]] == [str(old)]
    assert snapshot.exists()


def test_what_cannot_be_removed_is_named_and_the_rest_goes(command, runs, monkeypatch):
    old, snapshot = make_garbage(runs)
    real = os.rmdir

    def rmdir(path, **options):
        if str(path) == "checkpoints":
            raise PermissionError(13, "Permission denied", path)
        return real(path, **options)

    monkeypatch.setattr(os, "rmdir", rmdir)

    outcome = command("gc", "--yes", "--json")

    assert outcome.code == 1
    assert f"{old} stays, at least in part (Permission denied)" in outcome.err
    assert [row["removed"] for row in json.loads(outcome.out)["garbage"]] == [False, True]
    assert not snapshot.exists()


# -------------------------------------------------------------------------- an unlucky disk


@pytest.fixture
def disk(runs: Path) -> Iterator[SmallDisk]:
    """A small disk, with the project's runs on it."""
    runs.mkdir()
    with small_disk(runs) as disk:
        yield disk


def test_a_full_disk_can_be_emptied(command, disk, runs):
    run, other = make_run(runs), make_run(runs)
    command("delete", other.id, "--yes")
    disk.fill()

    assert command("delete", run.id, "--yes").code == 0
    emptied = command("gc", "--yes", "--older-than", "0d")

    assert emptied.code == 0
    assert "are free again" in emptied.err
    assert list(trash_folder(runs).iterdir()) == []
    kinds = [line["kind"] for line in read_lines(runs / ".state" / "deleted.jsonl")[0]]
    assert kinds[-1] == "removed"


def test_on_a_disk_that_may_only_be_read_each_command_says_one_sentence(command, disk, runs):
    deleted, run = make_run(runs), make_run(runs)
    command("delete", deleted.id, "--yes")
    disk.make_read_only()

    for arguments, code in {
        ("delete", run.id, "--yes"): 1,
        ("restore", deleted.id): 1,
        ("gc", "--yes", "--older-than", "0d"): 1,
        ("du",): 0,
    }.items():
        outcome = command(*arguments)
        assert outcome.code == code, outcome.err
        assert ("Read-only file system" in outcome.err) == bool(code)
        assert "Traceback" not in outcome.err
    assert run.exists()
    assert [trashed.run_id for trashed in trashed_runs(runs)] == [deleted.id]


# ----------------------------------------------------------------------------------------- du


def test_room_is_shown_the_largest_first(command, runs):
    small, large = make_run(runs), make_run(runs, "breakout")
    large.log_file.write_bytes(bytes(3_000_000))
    deleted = delete(make_run(runs))

    data = json.loads(command("du", "--json").out)
    assert [row["id"] for row in data["runs"]] == [large.id, small.id]
    assert [row["id"] for row in data["trash"]] == [deleted.run_id]
    assert data["snapshots"] == {"count": 0, "bytes": 0}
    parts = [*data["runs"], *data["trash"]]
    assert data["bytes"] == data["other_bytes"] + sum(part["bytes"] for part in parts)

    lines = command("du").out.splitlines()
    assert lines[1].split()[:4] == [
        *readable(data["runs"][0]["bytes"]).split(),
        large.short_id,
        "completed",
    ]
    assert "breakout: log 3.0 MB, checkpoints 1" in lines[1]
    assert "1 run in the trash" in lines[-3]
    assert lines[-1].endswith("in all")


def test_one_run_is_shown_by_kind(command, runs):
    run = make_run(runs)

    data = json.loads(command("du", run.short_id, "--json").out)
    lines = command("du", run.short_id).out.splitlines()

    assert (data["id"], data["unreadable"]) == (run.id, [])
    assert sum(data["bytes_by_kind"].values()) == data["bytes"]
    assert lines[1].split()[-1] == "checkpoints"
    assert lines[-1].split()[-3:] == [run.short_id, "completed", "pong"]


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_what_takes_room_fits_its_terminal(command, runs, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    run = make_run(runs, "größe " * 20)
    shown = command("du").out
    assert run.short_id in shown
    assert max(map(len, shown.splitlines())) <= columns


def test_in_a_terminal_the_smallest_are_summed_up(command, rlmaster, runs):
    for _ in range(storage.SHOWN_ONE_BY_ONE + 3):
        make_run(runs)
    assert "smaller run" not in command("du").out

    person = Person(rlmaster, "du")
    assert person.leave() == 0
    assert "3 smaller runs; --json lists them" in person.seen
    assert person.seen.count("completed") == storage.SHOWN_ONE_BY_ONE


def test_counting_is_told_once_it_takes_long(command, runs, monkeypatch):
    (runs / "many").mkdir(parents=True)
    for number in range(2_500):
        (runs / "many" / str(number)).touch()
    assert "counting" not in command("du").err
    monkeypatch.setattr(storage, "QUIET_S", 0.0)
    assert "counting: 1,000 files so far\n" in command("du").err


def test_what_may_not_be_read_is_named(command, runs, monkeypatch):
    make_run(runs)
    real = os.scandir

    def scandir(path):
        if str(path).endswith("checkpoints"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert "1 folder may not be read, so what is there is left out: " in command("du").err


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (9_940, "9.9 kB"),
        (9_960, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (86_400_000, "86 MB"),
        (2.5e9, "2.5 GB"),
        (3e15, "3,000 TB"),
    ],
)
def test_a_size_is_two_or_three_digits_and_a_unit(size_bytes, text):
    assert readable(size_bytes) == text
