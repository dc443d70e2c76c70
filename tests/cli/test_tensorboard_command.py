import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from made_runs import make_run
from waiting import wait_until


@pytest.fixture
def started(rlmaster, finished_run, tmp_path):
    """TensorBoard on a run, started by a program that reads what it says."""
    command = [sys.executable, "-m", "rlmaster", "tensorboard", str(finished_run.folder.path)]
    with subprocess.Popen(
        [*command, "--no-open", "--json"],
        cwd=rlmaster.project,
        env=rlmaster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        yield process
        process.kill()


def boards(rlmaster) -> list[int]:
    """Return the processes of TensorBoard that this test has started."""
    return rlmaster.processes("tensorboard.main")


def get(url: str) -> object:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as page:
        return json.load(page)


def leftovers(rlmaster) -> list[Path]:
    return list(Path(rlmaster.environment["TMPDIR"]).glob("rlmaster-tensorboard-*"))


@pytest.mark.timeout(240)
def test_it_serves_the_runs_and_ends_with_its_reader(started, rlmaster, finished_run):
    told = json.loads(started.stdout.readline())
    run = finished_run.folder
    assert told["runs"] == [run.id]
    assert told["url"].startswith("http://127.0.0.1:")
    tags = wait_until(lambda: get(f"{told['url']}data/plugin/scalars/tags"), 60)
    assert "held_out/error" in tags[f"tiny-pong-{run.short_id}"]
    assert boards(rlmaster)
    started.stdout.close()
    assert started.wait(20) == 0
    wait_until(lambda: not boards(rlmaster))
    assert not leftovers(rlmaster)


@pytest.mark.timeout(240)
def test_an_interrupt_ends_it(started, rlmaster):
    started.stdout.readline()
    os.kill(started.pid, signal.SIGINT)
    assert started.wait(20) == 130
    wait_until(lambda: not boards(rlmaster))
    assert not leftovers(rlmaster)


def test_a_run_that_there_is_not_is_refused(rlmaster):
    make_run(rlmaster.project / "runs")
    refused = rlmaster("tensorboard", "nonsense", "--no-open", "--json")
    assert refused.returncode == 2
    assert "nonsense" in refused.stderr
    assert refused.stdout == ""
