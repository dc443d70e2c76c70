"""Rendering an agent's run: it plays its evaluation again, and that is filmed."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from trained_agents import keep_agent, make_player_run, tiny_player

from rlmaster.embedder_choices import PixelEncoder
from rlmaster.run_folder import RunFolder
from rlmaster.training import agent_film, render
from rlmaster.training.playing import Evaluator, Played


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run with an agent; only the start of an episode is filmed."""
    monkeypatch.setattr(agent_film, "FILMED_STEPS", 30)
    monkeypatch.setattr(sys, "path", list(sys.path))
    training = {"evaluation_episodes": 2, "evaluation_exploration": 0.0}
    return make_player_run(tmp_path, tiny_player(agent_training=training))


def say(capsys: pytest.CaptureFixture[str], run: RunFolder, *options: str) -> tuple[int, dict, str]:
    """Run the program; return exit code, the last thing it said of each kind, its complaint."""
    code = render.main([str(run.path), *options])
    said = capsys.readouterr()
    by_kind = {}
    for line in said.out.splitlines():
        by_kind |= json.loads(line)
    return code, by_kind, said.err


def test_the_evaluation_is_played_again_and_filmed(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said, complaint = say(capsys, run)
    assert (code, complaint) == (0, "")
    made = said["answer"]
    assert made["checkpoint"] == "step-000000500"
    assert {Path(made[kind]) for kind in ("best", "median")} == set(run.videos.iterdir())
    assert Path(made["best"]).name == "best-step-000000500.mp4"
    played = evaluated(run, seed=1)
    assert [e["return"] for e in made["episodes"]] == list(played.returns.returns)
    assert [e["steps"] for e in made["episodes"]] == list(played.returns.steps)
    assert made["mean_return"] == np.mean(played.returns.returns)
    assert said["note"].endswith("; networks of step-000000500")
    assert said["progress"] == {
        "phase": "rendering",
        "step": agent_film.frames_to_film(played),
        "total": agent_film.frames_to_film(played),
        "axis": "frames",
    }


def evaluated(run: RunFolder, seed: int) -> Played:
    """Return the evaluation of a run's agent of a seed."""
    experiment = tiny_player(agent_training=run.config()["agent_training"])
    evaluator = Evaluator.of_experiment(experiment, torch.device("cpu"))
    return evaluator.play(keep_agent(run, 1, seed=seed), lambda _step: None)


def test_the_best_checkpoint_may_play_into_another_folder(
    run: RunFolder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (run.checkpoints / "step-000000500" / "networks.safetensors").write_bytes(b"damaged")
    out = tmp_path / "films"
    code, said, _ = say(capsys, run, "--checkpoint", "best", "--out", str(out))
    assert code == 0
    assert said["answer"]["checkpoint"] == "best-000000500"
    assert sorted(path.name for path in out.iterdir()) == [
        "best-best-000000500.mp4",
        "median-best-000000500.mp4",
    ]
    assert not run.videos.exists()


@pytest.mark.parametrize("options", [["--list"], ["--episode", "1"]])
def test_there_are_no_stored_episodes_to_choose_from(
    options: list[str], run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said, complaint = say(capsys, run, *options)
    assert (code, said) == (2, {})
    assert f"run {run.short_id} trained an agent" in complaint
    assert "leave out --episode and --list" in complaint


def test_weights_of_another_agent_are_one_sentence(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_player(embedder=PixelEncoder()).to_data()
    run.config_file.write_text(json.dumps(config))
    code, said, complaint = say(capsys, run)
    assert (code, said, len(complaint.splitlines())) == (1, {}, 1)
    assert "does not fit the networks that the run's config.json describes" in complaint
