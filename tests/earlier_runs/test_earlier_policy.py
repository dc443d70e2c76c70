"""Launches whose frames are played by a trained agent: which one, and whether it fits."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from kept_checkpoints import make_trained_run
from made_runs import set_state
from trained_agents import keep_agent, make_player_run, tiny_player

from rlmaster.agent_choices import RandomAgent
from rlmaster.earlier_runs import find_earlier_runs, resolve_earlier_runs
from rlmaster.earlier_runs.policy import EarlierPolicy, find_policy, resolve_policy
from rlmaster.errors import LaunchError, ProjectError, UsageError
from rlmaster.experiment import Atari, Experiment
from rlmaster.experiment_script import ScriptDescription, describe_experiment
from rlmaster.frame_sources import AgentFrames
from rlmaster.placement import Placement
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State
from rlmaster.training.trained_policy import policy_checksum, policy_config

SHIPPED = "experiments/policies/pong"


def described(policy: str, **fields: Any) -> ScriptDescription:
    parts = {
        "name": "frames",
        "environment": Atari(game="Pong"),
        "frames": AgentFrames(policy=policy),
    }
    return describe_experiment(Experiment(**(parts | fields)))


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def player(runs: Path) -> RunFolder:
    """A run that has trained an agent of Pong."""
    return make_player_run(runs)


@pytest.fixture
def shipped(player: RunFolder, runs: Path) -> Path:
    """A folder of the project with a policy and nothing else."""
    folder = runs.parent / SHIPPED
    folder.mkdir(parents=True)
    checkpoint = player.find_checkpoint()
    assert checkpoint is not None
    shutil.copy(checkpoint / "networks.safetensors", folder / "policy.safetensors")
    shutil.copy(player.config_file, folder)
    return folder


def found(description: ScriptDescription, runs: Path) -> EarlierPolicy:
    policy = find_policy(description.experiment, runs)
    assert policy is not None
    return policy


# ------------------------------------------------------------------------------------- of a run


def test_the_full_id_is_filled_in_and_enters_the_digest(player: RunFolder, runs: Path) -> None:
    asked = described(player.short_id)
    resolved = resolve_policy(asked, runs)
    assert resolved.experiment["frames"]["policy"] == player.id
    assert resolved.digest == Experiment.from_data(resolved.experiment).digest() != asked.digest
    assert resolve_policy(resolved, runs) == resolved
    assert resolve_earlier_runs([asked], runs, pytest.fail) == [resolved]
    assert find_earlier_runs(resolved.experiment, runs).ids == [player.id]


@pytest.mark.parametrize("policy", ["scripted", "random"])
def test_a_policy_that_nobody_trained_stays_as_it_is(policy: str, tmp_path: Path) -> None:
    own = described(policy)
    assert resolve_policy(own, tmp_path) == own
    assert find_earlier_runs(own.experiment, tmp_path).ids == []


def test_the_newest_checkpoint_plays(player: RunFolder, runs: Path) -> None:
    keep_agent(player, 900, seed=2)
    policy = found(described(player.id), runs)
    assert str(policy) == f"step-000000900 of run {player.short_id}"
    assert policy.sha256 == sha256(policy.weights)


def test_a_name_that_nothing_has_is_told_what_it_could_be(player: RunFolder, runs: Path) -> None:
    sentence = r"frames\.policy is not `scripted`, `random` or a folder .* no run is called 'scrip"
    with pytest.raises(ProjectError, match=sentence):
        resolve_policy(described("scripte"), runs)
    with pytest.raises(ProjectError, match="no run is called"):
        resolve_policy(described("é" * 200), runs)


def test_an_agent_of_another_game_is_refused(player: RunFolder, runs: Path) -> None:
    sentence = r"knows the screens and actions of pong, and this experiment is about breakout;"
    with pytest.raises(UsageError, match=sentence):
        resolve_policy(described(player.id, environment=Atari(game="Breakout")), runs)


def test_a_run_without_an_agent_is_refused(runs: Path) -> None:
    run = make_trained_run(runs)
    with pytest.raises(UsageError, match=f"run {run.short_id} trained an embedder alone, so it "):
        resolve_policy(described(run.id), runs)


def test_an_agent_that_acts_at_random_is_refused(runs: Path) -> None:
    run = make_player_run(runs, tiny_player(agent=RandomAgent()))
    with pytest.raises(UsageError, match=r"acts at random, .* choose frames\.policy=random$"):
        resolve_policy(described(run.id), runs)


def test_an_agent_that_still_learns_is_refused(player: RunFolder, runs: Path) -> None:
    set_state(player, State.RUNNING)
    with pytest.raises(UsageError, match=f"is running, so its .* stop {player.short_id}`$"):
        resolve_policy(described(player.id), runs)


def test_an_agent_that_is_on_another_computer_is_to_be_pulled(
    player: RunFolder, runs: Path
) -> None:
    shutil.rmtree(player.checkpoints)
    player.write_placement(
        Placement("far", "ssh", "far", "far-1", "/far/run", "/far", "python", 1, 1)
    )
    with pytest.raises(UsageError, match=f"`rlmaster pull --all {player.short_id}` .* from far$"):
        resolve_policy(described(player.id), runs)


# ---------------------------------------------------------------------------------- of a folder


def test_a_folder_of_the_project_is_named_by_its_place_there(shipped: Path, runs: Path) -> None:
    for name in (SHIPPED, f"{SHIPPED}/", str(shipped)):
        resolved = resolve_policy(described(name), runs)
        assert resolved.experiment["frames"]["policy"] == SHIPPED
    policy = found(described(SHIPPED), runs)
    assert (str(policy), policy.run) == (f"the policy in {SHIPPED}", None)
    assert find_earlier_runs(described(SHIPPED).experiment, runs).ids == []


@pytest.mark.parametrize("file", ["policy.safetensors", "config.json"])
def test_a_folder_that_lacks_a_file_is_refused(file: str, shipped: Path, runs: Path) -> None:
    (shipped / file).unlink()
    with pytest.raises(UsageError, match="is no policy, which is policy"):
        resolve_policy(described(SHIPPED), runs)


def test_a_folder_of_another_game_is_refused(shipped: Path, runs: Path) -> None:
    breakout = described(SHIPPED, environment=Atari(game="Breakout"))
    with pytest.raises(UsageError, match=f"the policy in {SHIPPED} knows the screens and actions"):
        resolve_policy(breakout, runs)


def test_a_folder_without_an_agent_is_refused(shipped: Path, runs: Path) -> None:
    config = json.loads((shipped / "config.json").read_bytes())
    (shipped / "config.json").write_text(json.dumps({**config, "agent": None}))
    with pytest.raises(UsageError, match=f"{SHIPPED} trained an embedder alone"):
        resolve_policy(described(SHIPPED), runs)


# ------------------------------------------------------------------------------ what comes along


@pytest.mark.parametrize("is_shipped", [False, True])
def test_weights_checksum_and_configuration_come_along(
    is_shipped: bool, shipped: Path, player: RunFolder, runs: Path
) -> None:
    policy = found(described(SHIPPED if is_shipped else player.id), runs)
    new = RunFolder.reserve(runs, "new")
    policy.bring(new.policy)
    assert sha256(new.policy / "networks.safetensors") == policy_checksum(new) == policy.sha256
    assert policy_config(new) == player.config()
    # A file of the project may be changed in place, which a run must not notice.
    assert (new.policy / "networks.safetensors").samefile(policy.weights) is not is_shipped


def test_what_cannot_be_brought_along_is_one_sentence(player: RunFolder, runs: Path) -> None:
    policy = found(described(player.id), runs)
    policy.weights.unlink()
    with pytest.raises(LaunchError, match=r"step-000000500 of run \w+ cannot be brought along"):
        policy.bring(RunFolder.reserve(runs, "new").policy)
