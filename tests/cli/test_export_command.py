"""`rlmaster export`: a run's agent as a small folder, and runs that have none to export."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_runs import complete_playing, make_run
from safetensors import safe_open
from trained_agents import keep_agent, make_player_run, tiny_player

from rlmaster.agent_choices import RandomAgent
from rlmaster.durable_files import append_line, write_json
from rlmaster.earlier_runs.policy import find_policy
from rlmaster.embedder_choices import Autoencoder
from rlmaster.experiment import Experiment
from rlmaster.frame_sources import AgentFrames
from rlmaster.loaded_run import load_policy
from rlmaster.policy_folder import CONFIG, RESULT, WEIGHTS
from rlmaster.run_folder import RunFolder
from rlmaster.training.trained_policy import trained_policy

ONE_EPISODE = {"evaluation_episodes": 1, "evaluation_exploration": 0.0}


@pytest.mark.learns
def test_an_agent_becomes_a_folder_that_plays(rlmaster) -> None:
    run = make_player_run(rlmaster.project / "runs", tiny_player(agent_training=ONE_EPISODE))
    complete_playing(run, -3.0)
    append_line(run.attempts_file, {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:30Z"})
    write_json(run.environment_file, {"packages": {"torch": "2.11.0", "ale-py": "0.12.1"}})

    done = rlmaster("export", "last", "--json")

    assert done.returncode == 0, done.stderr
    assert "MB: mean return of 1 episode -" in done.stderr
    folder, answer = rlmaster.project / "experiments/policies/pong", json.loads(done.stdout)
    assert {file.name for file in folder.iterdir()} == {WEIGHTS, CONFIG, RESULT}
    assert answer == {"folder": str(folder), **json.loads((folder / RESULT).read_bytes())}
    assert json.loads((folder / CONFIG).read_bytes()) == run.config()
    check_result(answer, run)
    with safe_open(folder / WEIGHTS, "pt") as weights:
        assert weights.metadata()["run"] == run.id
    check_that_it_plays(folder, run)


def check_result(result: dict[str, Any], run: RunFolder) -> None:
    assert (result["run"], result["step"], result["seed"]) == (run.id, 500, 1)
    assert result["result"]["value"] == -3.0
    assert result["wall_time_s"] == 90.0
    assert result["versions"] == {"torch": "2.11.0", "ale-py": "0.12.1"}
    policy = result["policy"]
    assert policy["mean_return"] == policy["episodes"][0]["return"]
    assert -21 <= policy["mean_return"] < 0
    assert 0.9 < policy["same_actions"] <= 1
    assert policy["bytes"] < 2 * policy["weights"] + 2 * 84 * 84 + 4_000  # and a background, names


def check_that_it_plays(folder: Path, run: RunFolder) -> None:
    """Play with it in a notebook, and as the source of another run's frames."""
    seen = torch.randint(256, (32, 4, 84, 84), dtype=torch.uint8)
    trained = keep_agent(run, 600)
    assert torch.equal(load_policy(folder).act(seen), trained.act(seen))
    frames = AgentFrames(policy="experiments/policies/pong")
    experiment = Experiment(name="x", environment=tiny_player().environment, frames=frames)
    policy, other = find_policy(experiment.to_data(), run.path.parent.parent), run.path / "other"
    other.mkdir()
    assert policy is not None
    policy.bring(RunFolder(other).policy)
    assert trained_policy(RunFolder(other)) is not None


def without_agent(runs: Path) -> RunFolder:
    return make_run(runs, config={"embedder": Autoencoder().to_data()})


def at_random(runs: Path) -> RunFolder:
    return make_player_run(runs, tiny_player(agent=RandomAgent()))


def without_checkpoint(runs: Path) -> RunFolder:
    run = make_player_run(runs)
    shutil.rmtree(run.checkpoints)
    return run


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (without_agent, "trained an embedder alone, so there is no agent to export; name a run"),
        (at_random, "acts at random and has no weights to export; name a run whose agent"),
        (without_checkpoint, "has no checkpoint yet; there are: none yet"),
    ],
)
def test_a_run_that_has_nothing_to_export_is_one_sentence(
    make: Callable[[Path], RunFolder], sentence: str, command, project: Path
) -> None:
    make(project / "runs")
    done = command("export", "last")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert sentence in done.err


def test_nothing_is_played_for_a_folder_that_holds_something_else(command, project: Path) -> None:
    make_player_run(project / "runs")
    done = command("export", "last", "experiments")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"{project / 'experiments'} is not a policy and nothing else")
    done = command("export", "last", "--checkpoint", "step-7")
    assert (done.code, done.out) == (2, "")
    assert "has no checkpoint 'step-7'; there are: step-000000500" in done.err
