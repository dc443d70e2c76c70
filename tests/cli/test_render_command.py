import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from trained_agents import make_player_run, tiny_player
from waiting import wait_until

from rlmaster.durable_files import write_json
from rlmaster.run_folder import RunFolder

pytestmark = pytest.mark.learns


@pytest.fixture
def run(finished_run, rlmaster) -> RunFolder:
    """A copy of the finished run in the test's own project, with the code that it ran."""
    runs = rlmaster.project / "runs"
    copy = runs / "tiny-pong" / finished_run.folder.id
    shutil.copytree(finished_run.folder.path, copy)
    shutil.copytree(finished_run.project / "runs" / ".snapshots", runs / ".snapshots")
    return RunFolder(copy)


def test_an_episode_is_rendered_beside_the_video_of_training(run, rlmaster):
    videos = {path.name for path in run.video_files()}

    done = rlmaster("render", "last")

    assert done.returncode == 0, done.stderr
    strip, video = map(Path, done.stdout.splitlines())
    assert strip.read_bytes().startswith(b"\x89PNG")
    assert strip.parent == video.parent == run.videos
    assert strip.stem == video.stem
    assert {path.name for path in run.video_files()} == {*videos, video.name}
    assert run.video_files()[-1].name in videos  # which is what a report goes on to show
    assert "held out" in done.stderr
    assert "of 8; networks of update-000000020" in done.stderr
    assert "what moves is magnified" not in done.stderr


def test_with_json_stdout_is_one_object_and_the_folder_may_be_another(run, rlmaster):
    before = sorted(run.path.rglob("*"))

    done = rlmaster("render", run.short_id, "--episode", "2", "--out", "my films", "--json")

    answer = json.loads(done.stdout)
    folder = rlmaster.project / "my films"
    assert done.returncode == 0
    assert answer["run_id"] == run.id
    assert answer["episode"]["number"] == 2
    assert {Path(answer["strip"]), Path(answer["video"])} == set(folder.iterdir())
    assert sorted(run.path.rglob("*")) == before


def test_the_stored_episodes_are_listed_one_a_line(run, rlmaster):
    rows = json.loads(rlmaster("render", "last", "--list", "--json").stdout)["episodes"]
    lines = rlmaster("render", "last", "--list").stdout.splitlines()

    assert [row["number"] for row in rows] == list(range(1, len(lines) + 1))
    for row, line in zip(rows, lines, strict=True):
        assert f"environment {row['environment']} " in line
        assert f" {row['frames']:,} frames" in line
        assert ("held out" in line) == row["held_out"]
        assert ("whole" in line) == row["ended"]


def test_an_episode_that_is_not_there_is_one_sentence_and_exit_code_2(run, rlmaster):
    done = rlmaster("render", "last", "--episode", "99")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        "there is no episode 99: the replay holds 8, counted from 1; --list shows them"
    )


def test_a_checkpoint_that_is_not_there_is_one_sentence_and_exit_code_2(run, rlmaster):
    done = rlmaster("render", "last", "--checkpoint", "update-7")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"run {run.short_id} has no checkpoint 'update-7'; there are: "
        f"{', '.join(path.name for path in run.checkpoint_folders())}\n"
    )


@pytest.mark.parametrize("options", [[], ["--list"]])
def test_a_run_without_frames_is_one_sentence_and_exit_code_2(run, rlmaster, options):
    shutil.rmtree(run.replay)

    done = rlmaster("render", "last", *options)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"run {run.short_id} has no frames: it has not finished collecting them, or they are gone "
        f"from {run.replay}; name another run\n"
    )


def test_frames_that_the_networks_cannot_look_at_are_one_sentence_and_exit_code_2(run, rlmaster):
    manifest = json.loads((run.replay / "manifest.json").read_text())
    write_json(run.replay / "manifest.json", {**manifest, "frame_shape": [64, 64]})

    done = rlmaster("render", "last", "--list")

    assert (done.returncode, done.stdout) == (2, "")
    assert "are of 64x64 pixels, and its networks look at 84x84" in done.stderr.splitlines()[-1]


def test_an_interrupt_ends_it_all_and_leaves_nothing(run, rlmaster):
    before = sorted(run.videos.iterdir())
    with subprocess.Popen(
        [sys.executable, "-m", "rlmaster", "render", "last"],
        cwd=rlmaster.project,
        env=rlmaster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as rendering:
        wait_until(lambda: rendering.poll() is not None or rlmaster.processes("training.render"))

        rendering.send_signal(signal.SIGINT)

        out, complaint = rendering.communicate(timeout=30)
    assert (rendering.returncode, out) == (130, "")
    assert complaint.splitlines()[-1] == "interrupted before the film was made"
    assert not rlmaster.processes("rlmaster.training.render")
    assert sorted(run.videos.iterdir()) == before


def test_of_an_agent_the_films_of_its_evaluation_are_named(rlmaster):
    training = {"evaluation_episodes": 1, "evaluation_exploration": 0.0}
    make_player_run(rlmaster.project / "runs", tiny_player(agent_training=training))

    done = rlmaster("render", "last", "--checkpoint", "best")

    assert done.returncode == 0, done.stderr
    best, median = map(Path, done.stdout.splitlines())
    assert (best.name, median.name) == ("best-best-000000500.mp4", "median-best-000000500.mp4")
    assert best.is_file()
    assert median.is_file()
    assert "mean return of 1 episode -" in done.stderr
