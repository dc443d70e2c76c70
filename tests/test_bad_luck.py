"""What may go wrong around a launch, on a real small disk: a clear sentence, and nothing lost."""

import json
import os
import pty
import select
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from quick_training import end, make_quick, words
from small_disk import SmallDisk, small_disk
from waiting import wait_until

from rlmaster.hosts.queue import Queue
from rlmaster.lifecycle import look_after
from rlmaster.run_folder import RunFolder, list_runs
from rlmaster.run_status import FINAL_STATES, State

pytestmark = pytest.mark.usefixtures("same_environment")

DETACHED = ("--rationale", "why", "--yes", "--detach")


@pytest.fixture
def project(project) -> Path:
    """A project whose training ends when it is told to."""
    return make_quick(project)


@pytest.fixture
def disk_at() -> Iterator[Callable[[Path], SmallDisk]]:
    """Put a small disk where a folder will be."""
    with ExitStack() as disks:

        def put(place: Path) -> SmallDisk:
            place.mkdir(parents=True)
            return disks.enter_context(small_disk(place, megabytes=3))

        yield put


def leftovers(runs: Path) -> list[str]:
    """Return what a launch that failed has left behind."""
    parts = (".snapshots", "filling", ".state", ".index.sqlite")
    return [str(path.relative_to(runs)) for path in runs.rglob("*") if path.parts[-1] not in parts]


# --------------------------------------------------------------------------------- full disks


def test_a_launch_onto_a_full_disk_is_one_sentence_and_leaves_nothing(rlmaster, disk_at):
    runs = rlmaster.project / "runs"
    disk = disk_at(runs)
    disk.fill()

    done = rlmaster("launch", "tiny", *DETACHED)

    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert leftovers(runs) == []
    disk.free()
    run = rlmaster.launch()
    words(run)
    end(run)


def test_room_for_the_code_but_not_for_the_run_leaves_no_half_run(rlmaster, disk_at):
    runs = rlmaster.project / "runs"
    disk = disk_at(runs)
    Queue.here().drain()
    first = rlmaster.launch()
    disk.fill()

    done = rlmaster("launch", "tiny", *DETACHED)

    assert done.returncode == 1
    assert "cannot make a run folder in" in done.stderr
    assert [path.name for path in (runs / "tiny-pong").iterdir()] == [first.id]


def test_a_queue_on_a_full_disk_leaves_a_run_that_starts_once_there_is_room(rlmaster, disk_at):
    state = Path(rlmaster.environment["XDG_STATE_HOME"])
    disk = disk_at(state)
    disk.fill()

    done = rlmaster("launch", "tiny", *DETACHED)

    assert done.returncode == 3
    assert "the queue in" in done.stderr
    assert "cannot be changed" in done.stderr
    (run,) = list_runs(rlmaster.project / "runs")
    assert run.status().state is State.PREPARED
    disk.free()
    assert rlmaster("queue").returncode == 0
    assert rlmaster("runs").returncode == 0  # whoever sees it completes its launch
    assert rlmaster("queue").returncode == 0
    words(run)
    end(run)


def test_a_disk_that_fills_up_while_a_run_waits_costs_nothing_but_time(rlmaster, disk_at):
    runs = rlmaster.project / "runs"
    disk = disk_at(runs)
    Queue.here().drain()
    run = rlmaster.launch()
    disk.fill()
    assert rlmaster("queue", "open").returncode == 0
    wait_until(lambda: rlmaster.processes("-m rlmaster.hosts.queue_runner"))
    assert look_after(run).state is State.QUEUED
    assert Queue.here().find(run.id)
    disk.free()
    wait_until(lambda: rlmaster("queue") and run.status().state is State.RUNNING, 60)
    words(run)
    end(run)


# ------------------------------------------------------------------- folders that are not as usual


def test_runs_that_cannot_be_written_are_one_sentence(rlmaster, disk_at):
    runs = rlmaster.project / "runs"
    disk = disk_at(runs)
    Queue.here().drain()
    run = rlmaster.launch()
    disk.make_read_only()

    done = rlmaster("launch", "tiny", *DETACHED)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    for command in (["runs"], ["show", run.short_id], ["queue"]):
        done = rlmaster(*command)
        assert done.returncode == 0, done.stderr
        assert run.short_id in done.stdout
    stopped = rlmaster("stop", run.short_id)
    assert stopped.returncode == 1
    assert "Read-only file system" in stopped.stderr


def test_a_project_that_was_moved_goes_on(rlmaster):
    run = rlmaster.launch()
    words(run)
    assert rlmaster("stop", run.short_id).returncode == 0
    moved = rlmaster.project.with_name("moved somewhere else")
    rlmaster.project.rename(moved)
    rlmaster.project = moved
    (run,) = list_runs(moved / "runs")

    assert rlmaster("resume", run.short_id, "--detach").returncode == 0

    words(run)
    end(run)
    wait_until(lambda: run.status().state in FINAL_STATES)
    assert run.status().state is State.COMPLETED


def test_a_copy_of_a_run_is_another_run_and_starts_nothing(rlmaster):
    run = rlmaster.launch()
    words(run)
    copy = RunFolder(run.path.with_name("a copy of it"))
    shutil.copytree(run.path, copy.path)

    listed = json.loads(rlmaster("runs", "--json").stdout)["runs"]
    assert {row["run_folder"] for row in listed} == {str(run.path), str(copy.path)}
    end(run)
    wait_until(lambda: run.status().state in FINAL_STATES)
    rlmaster("runs")
    assert copy.status().state is State.LOST
    assert run.status().state is State.COMPLETED


# --------------------------------------------------------------------------- Ctrl-C at a prompt


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (["launch", "tiny"], "Why this run?"),
        (["launch", "tiny", "--rationale", "why"], "Where does it run?"),
        (["branch", "RUN"], "Why this run?"),
        (["delete", "RUN"], "[y/N]"),
        (["gc"], "[y/N]"),
    ],
    ids=" ".join,
)
def test_an_interrupt_at_a_question_does_nothing(rlmaster, arguments, question):
    Queue.here().drain()
    run = rlmaster.launch()
    assert rlmaster("stop", run.short_id).returncode == 0
    partial = rlmaster.project / "runs" / ".snapshots" / ".partial-old"
    partial.mkdir()
    os.utime(partial, (0, 0))
    wait_until(lambda: not rlmaster.processes("rlmaster follow"))  # it makes the report
    before = files_of(rlmaster)

    said, code = interrupted(
        rlmaster, [run.short_id if a == "RUN" else a for a in arguments], question
    )

    assert code == 130, said
    assert "nothing was done" in said
    assert files_of(rlmaster) == before


def files_of(rlmaster) -> list[Path]:
    """Return all that lies in runs/, but for the index."""
    runs = rlmaster.project / "runs"
    return sorted(path for path in runs.rglob("*") if "sqlite" not in path.name)


def interrupted(rlmaster, arguments: list[str], question: str) -> tuple[str, int]:
    """Answer a question with Ctrl-C; return what was said, and the exit code."""
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where tests run in the background
        os.chdir(rlmaster.project)
        command = rlmaster.command(*arguments)
        os.execve(command[0], command, rlmaster.environment)
    said = ""
    try:
        while question not in said:
            said += os.read(terminal, 10_000).decode(errors="replace")
        while True:  # one that comes just before the question is read may go unnoticed
            os.write(terminal, b"\x03")
            while select.select([terminal], [], [], 2.0)[0]:
                said += os.read(terminal, 10_000).decode(errors="replace")
    except OSError:  # the other end is closed
        pass
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return said, os.waitstatus_to_exitcode(status)
