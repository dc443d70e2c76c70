"""`rlmaster watch --json` as the app keeps it: also for runs of this computer."""

import platform
import subprocess
import sys

import pytest
from made_runs import make_run
from waiting import wait_until

from rlmaster.run_lock import boot_id
from rlmaster.run_status import State, Status


@pytest.fixture
def watching(rlmaster):
    """Start `rlmaster watch --json`, read by this process."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "rlmaster", "watch", "--json"],
            cwd=rlmaster.project,
            env=rlmaster.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def killed(rlmaster):
    """Return a run that claims to run here, whose worker is gone."""
    run = make_run(rlmaster.project / "runs")
    run.write_status(Status(State.RUNNING, host=platform.node(), boot_id=boot_id()))
    return run


def test_a_run_here_whose_worker_is_gone_is_lost(rlmaster, watching):
    watching()
    first = killed(rlmaster)
    wait_until(lambda: first.status().state is State.LOST)
    second = killed(rlmaster)
    wait_until(lambda: second.status().state is State.LOST)


def test_it_ends_when_nobody_reads_it_any_more(rlmaster, watching):
    process = watching()
    run = killed(rlmaster)
    wait_until(lambda: run.status().state is State.LOST)
    process.stdout.close()
    assert process.wait(20) == 0


def test_of_two_both_look_after_runs_here_and_each_ends_with_its_reader(rlmaster, watching):
    first, second = watching(), watching()
    run = killed(rlmaster)
    wait_until(lambda: run.status().state is State.LOST)
    first.stdout.close()
    assert first.wait(20) == 0
    run = killed(rlmaster)
    wait_until(lambda: run.status().state is State.LOST)
    second.stdout.close()
    assert second.wait(20) == 0
