"""`stop`, `resume`, `branch` and `queue`, as a person types them; training ends when it is told."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from quick_training import end, is_training, make_quick, times_started, words
from waiting import wait_until

from rlmaster.durable_files import write_json
from rlmaster.hosts.queue import Queue
from rlmaster.run_folder import RunFolder, list_runs
from rlmaster.run_status import FINAL_STATES, State, Status

pytestmark = pytest.mark.usefixtures("same_environment")

DETACHED = ("--rationale", "why", "--yes", "--detach")


@pytest.fixture
def project(project) -> Path:
    """A project whose training ends when it is told to."""
    return make_quick(project)


def runs_of(rlmaster) -> list[RunFolder]:
    return list_runs(rlmaster.project / "runs")


def await_end(run: RunFolder) -> State:
    wait_until(lambda: run.status().state in FINAL_STATES)
    return run.status().state


# ------------------------------------------------------------------------------------- stop


def test_a_stop_is_obeyed_and_told(rlmaster):
    run = rlmaster.launch()
    words(run)

    done = rlmaster("stop", run.short_id, "--json")

    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["runs"]
    assert Status.from_data(row.pop("status")) == run.status()
    reason = "it was asked to stop"
    assert row == {"run_id": run.id, "state": "stopped", "reason": reason, "attempt": 1}
    assert done.stderr == (
        f"run {run.short_id} is asked to keep its work and end\n"
        f"run {run.short_id} is stopped: it was asked to stop\n"
    )
    (request,) = run.requests.iterdir()
    assert run.status().answered == (json.loads(request.read_text())["id"],)


def test_a_request_of_an_earlier_attempt_is_not_obeyed(rlmaster):
    run = rlmaster.launch()
    words(run)
    assert rlmaster("stop", run.short_id).returncode == 0
    assert rlmaster("resume", run.short_id, "--detach").returncode == 0
    words(run)
    end(run)
    assert await_end(run) is State.COMPLETED
    assert times_started(run) == 2


def test_what_has_ended_has_nothing_to_stop(rlmaster):
    run = rlmaster.launch()
    end(run)
    await_end(run)
    done = rlmaster("stop", run.short_id)
    assert (done.returncode, done.stderr) == (0, f"run {run.short_id} is completed\n")


def test_a_training_that_does_not_end_is_killed_in_the_end(rlmaster, project):
    deaf = project / "rlmaster" / "training" / "__main__.py"
    deaf.write_text(deaf.read_text().replace("lambda *_: sys.exit(75)", "signal.SIG_IGN"))
    worker = project / "rlmaster" / "worker.py"
    worker.write_text(worker.read_text().replace("STOP_DEADLINE_S = 60.0", "STOP_DEADLINE_S = 0.5"))
    run = rlmaster.launch()
    words(run)
    assert rlmaster("stop", run.short_id).returncode == 0
    status = run.status()
    assert (status.state, status.signal) == (State.STOPPED, signal.SIGKILL)
    assert "had not ended" in status.reason


# -------------------------------------------------------------------------- resume and branch


def test_a_resumed_run_goes_on_in_its_folder_with_the_code_of_its_launch(rlmaster, project):
    run = rlmaster.launch()
    os.kill(int(words(run)["pid"] or 0), signal.SIGKILL)
    assert await_end(run) is State.FAILED
    (project / "rlmaster" / "training" / "__main__.py").write_text("raise SystemExit('edited')")
    (run.path / "said.json").unlink()
    launched = run.config()
    write_json(run.config_file, {**launched, "seed": 7})
    refused = rlmaster("resume", run.short_id, "--detach")
    assert (refused.returncode, run.status().attempt) == (2, 1)
    assert f"seed is 7 and was {launched['seed']}; `rlmaster branch" in refused.stderr
    write_json(run.config_file, launched)
    refused = rlmaster("resume", run.short_id, "--set", "seed=7", "--detach")
    assert (refused.returncode, run.status().attempt) == (2, 1)
    assert f"`rlmaster branch {run.short_id} --set seed=7` makes a new run" in refused.stderr

    done = rlmaster("resume", run.short_id, "--detach", "--json")

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["run_id"], answer["state"], answer["attempt"]) == (run.id, "running", 2)
    words(run)
    end(run)
    assert await_end(run) is State.COMPLETED
    assert [attempt["state"] for attempt in run.attempts()] == ["failed", "completed"]
    again = rlmaster("resume", run.short_id)
    assert again.returncode == 1
    assert f"is completed; `rlmaster branch {run.short_id}" in again.stderr


def test_worker_and_training_killed_together_leave_a_run_that_can_go_on(rlmaster):
    run = rlmaster.launch()
    said = words(run)
    os.kill(int(said["worker"] or 0), signal.SIGSTOP)  # so that it cannot say anything
    os.kill(int(said["pid"] or 0), signal.SIGKILL)
    os.kill(int(said["worker"] or 0), signal.SIGKILL)
    wait_until(lambda: not rlmaster.processes("-m rlmaster.worker"))
    (run.path / "said.json").unlink()

    shown = rlmaster("show", run.short_id, "--json")
    assert json.loads(shown.stdout)["state"] == "lost"
    assert rlmaster("resume", run.short_id, "--detach").returncode == 0
    words(run)
    end(run)
    assert await_end(run) is State.COMPLETED


def a_checkpoint(run: RunFolder) -> None:
    """Give a run what a training would have kept."""
    folder = run.checkpoints / "update-000000020"
    folder.mkdir(parents=True)
    (folder / "state.pt").write_bytes(b"state")
    sums = {"state.pt": hashlib.sha256(b"state").hexdigest()}
    (folder / "manifest.json").write_text(json.dumps({"step": 20, "sha256": sums}))
    run.replay.mkdir()
    (run.replay / "chunk-000000.npz").write_bytes(b"frames")


def test_a_branch_goes_on_from_the_frames_and_networks_of_its_parent(rlmaster):
    parent = rlmaster.launch()
    words(parent)
    end(parent)
    await_end(parent)
    a_checkpoint(parent)

    done = rlmaster("branch", parent.short_id, "--set", "training.updates=40", *DETACHED)

    assert done.returncode == 0, done.stderr
    assert f"goes on from update-000000020 of run {parent.short_id}" in done.stderr
    run = runs_of(rlmaster)[0]
    assert run.run()["parents"] == [parent.id]
    assert run.config()["training"]["updates"] == 40
    assert run.config()["frames"] == parent.config()["frames"]
    for file in ("checkpoints/update-000000020/manifest.json", "replay/chunk-000000.npz"):
        assert (run.path / file).samefile(parent.path / file)
    words(run)
    end(run)


def test_a_branch_that_could_only_fail_or_do_nothing_is_refused(rlmaster):
    parent = rlmaster.launch()
    words(parent)
    end(parent)
    await_end(parent)
    a_checkpoint(parent)
    for changes, sentence in {
        "training.updates=20": "has 20 updates already at update-000000020, so nothing is left",
        "embedder.latent_dim=16": "do not fit another embedder.latent_dim; --from scratch",
    }.items():
        given = ["--set", changes, "--from", "newest", *DETACHED]
        done = rlmaster("branch", parent.short_id, *given)
        assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr
    edited = parent.config()
    edited["embedder"]["latent_dim"] = 16
    write_json(parent.config_file, edited)
    done = rlmaster("branch", parent.short_id, "--from", "newest", *DETACHED)
    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


def test_a_branch_passes_over_a_damaged_checkpoint(rlmaster):
    parent = rlmaster.launch()
    words(parent)
    end(parent)
    await_end(parent)
    a_checkpoint(parent)
    damaged = parent.checkpoints / "update-000000030"
    shutil.copytree(parent.checkpoints / "update-000000020", damaged)
    (damaged / "state.pt").write_bytes(b"stade")
    Queue.here().drain()

    done = rlmaster("branch", parent.short_id, "--set", "training.updates=40", *DETACHED)

    assert "goes on from update-000000020" in done.stderr
    refused = rlmaster("branch", parent.short_id, "--from", damaged.name, *DETACHED)
    assert "has no whole checkpoint 'update-000000030'" in refused.stderr


@pytest.mark.parametrize(
    ("changes", "start", "code", "sentence"),
    [
        ("embedder.latent_dim=16", [], 0, "it begins anew, since embedder is changed"),
        ("frames.steps=2000", ["--from", "newest"], 2, "cannot change frames; --from scratch"),
        (
            "training.updates=9",
            ["--from", "update-1"],
            2,
            "no whole checkpoint 'update-1'; there are: no",
        ),
        ("training.updates=9", [], 0, "begins anew, since run .* has kept no whole checkpoint"),
        ("training.updates=0", [], 2, "training.updates: '0' is not allowed"),
    ],
)
def test_where_a_branch_begins_is_decided_and_said(rlmaster, changes, start, code, sentence):
    parent = rlmaster.launch()
    words(parent)
    assert rlmaster("stop", parent.short_id).returncode == 0
    Queue.here().drain()

    done = rlmaster("branch", parent.short_id, "--set", changes, *start, *DETACHED)

    assert done.returncode == code, done.stderr
    assert re.search(sentence, done.stderr)
    assert len(runs_of(rlmaster)) == (2 if code == 0 else 1)


def test_a_configuration_of_another_version_is_read_and_what_is_unknown_is_named(rlmaster):
    parent = rlmaster.launch()
    words(parent)
    assert rlmaster("stop", parent.short_id).returncode == 0
    Queue.here().drain()
    config = parent.config()
    del config["recording"]["checkpoints"]  # as before there was such a field
    parent.config_file.write_text(json.dumps(config))
    assert rlmaster("branch", parent.short_id, *DETACHED).returncode == 0
    assert "checkpoints" in runs_of(rlmaster)[0].config()["recording"]

    config["training"]["momentum"] = 0.9  # of a version that is no more
    parent.config_file.write_text(json.dumps(config))
    done = rlmaster("branch", parent.short_id, *DETACHED)
    assert done.returncode == 2
    assert done.stderr.startswith("training.momentum: there is no such field")
    assert parent.short_id in rlmaster("runs").stdout  # it is listed all the same


# ------------------------------------------------------------------------------------ queue


def test_the_queue_shows_who_computes_and_who_waits_and_can_be_changed(rlmaster):
    first, second = rlmaster.launch(), rlmaster.launch()
    third = rlmaster.launch()
    fourth = rlmaster.launch()
    words(first), words(second)

    shown = json.loads(rlmaster("queue", "--json").stdout)
    assert [row["run_id"] for row in shown["slots"]] == [first.id, second.id]
    assert [row["run_id"] for row in shown["waiting"]] == [third.id, fourth.id]
    assert not shown["drained"]
    wait_until(lambda: len(rlmaster.processes("--quiet")) == 2)  # none for those that wait

    assert rlmaster("queue", "front", fourth.short_id).returncode == 0
    lines = rlmaster("queue").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["cpu:0", first.short_id],
        ["cpu:1", second.short_id],
        ["1", fourth.short_id],
        ["2", third.short_id],
    ]
    removed = rlmaster("queue", "remove", third.short_id)
    assert removed.stderr == f"run {third.short_id} is stopped\n"
    refused = rlmaster("queue", "remove", first.short_id)
    assert refused.returncode == 1
    assert "`rlmaster stop` ends one that runs" in refused.stderr
    assert rlmaster("queue", "front", third.short_id).returncode == 1

    assert rlmaster("queue", "drain").returncode == 0
    end(first)
    await_end(first)
    assert "drained: nothing is started" in rlmaster("queue").stdout
    assert not is_training(fourth)
    assert rlmaster("queue", "open").returncode == 0
    words(fourth)
    for run in (second, fourth):
        end(run)
        await_end(run)
    assert rlmaster("queue").stdout == "nothing runs and nothing waits\n"


def test_following_a_run_that_waits_says_so_and_sees_it_start(rlmaster):
    runs = [rlmaster.launch() for _ in range(3)]
    words(runs[0])
    following = subprocess.Popen(
        rlmaster.command("follow", runs[2].short_id),
        cwd=rlmaster.project,
        env=rlmaster.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stderr is not None
    assert "waits for a slot" in following.stderr.readline()
    for run in (runs[0], runs[2]):
        words(run)
        end(run)
    following.communicate(timeout=30)
    assert following.returncode == 0
    end(runs[1])


# -------------------------------------------------------------------------- many at the same time


def test_fifty_launches_at_once_are_fifty_runs_that_start_one_after_the_other(rlmaster):
    def launch(number: int) -> subprocess.CompletedProcess[str]:
        return rlmaster("launch", "tiny", "--set", f"seed={number}", *DETACHED, bound_s=110)

    with ThreadPoolExecutor(50) as pool:
        done = list(pool.map(launch, range(50)))

    assert {outcome.returncode for outcome in done} == {0}, [o.stderr for o in done if o.returncode]
    runs = runs_of(rlmaster)
    assert sorted(run.config()["seed"] for run in runs) == list(range(50))
    assert len({run.id for run in runs}) == 50
    assert len([run for run in runs if run.status().state is State.RUNNING]) <= 2
    assert len(list((rlmaster.project / "runs" / ".snapshots").iterdir())) == 1
    waiting = {waiting.run_id for waiting in Queue.here().waiting()}
    assert len(waiting) >= 48
    first = wait_until(lambda: [run for run in runs if is_training(run)])
    for run in first[:1]:
        end(run)
    wait_until(lambda: len(Queue.here().waiting()) < len(waiting))
    Queue.here().drain()
    assert max(map(times_started, runs)) == 1
