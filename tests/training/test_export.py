"""What is written beside an exported policy: how it was made, and what rounding costs."""

import shlex
from pathlib import Path

import torch
from made_runs import set_state
from trained_agents import keep_agent, make_player_run, tiny_player

from rlmaster.agent_choices import FastAgent
from rlmaster.experiment import Experiment
from rlmaster.experiment_script import describe_experiment
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State
from rlmaster.specification import with_overrides
from rlmaster.training.export import BesideTheOriginal, launch_command, wall_time_s


def test_what_launches_it_again_makes_the_same_experiment(tmp_path: Path) -> None:
    chosen = tiny_player(agent=FastAgent(hidden_units=8), tags=["a b"], seed=3)
    run = RunFolder.create(
        tmp_path,
        config=chosen.to_data(),
        rationale="why",
        provenance={"script": "experiments/my pong.py"},
        digests={},
        differs_from_default=describe_experiment(chosen).differs_from_default,
    )
    words = shlex.split(launch_command(run, run.config()) or "")
    assert words[:3] == ["rlmaster", "launch", "experiments/my pong.py"]
    settings = [word for word in words[3:] if word != "--set"]
    plain = Experiment(name="player", environment=tiny_player().environment)
    assert with_overrides(plain, settings).digest() == chosen.digest()
    assert with_overrides(plain, settings).tags == ("a b",)
    run.provenance_file.write_text("{}")
    assert launch_command(run, run.config()) is None


def test_actions_are_the_agents_own_and_those_that_are_the_same_are_counted(tmp_path: Path) -> None:
    run = make_player_run(tmp_path)
    seen = torch.randint(256, (50, 4, 84, 84), dtype=torch.uint8)
    one, other = (keep_agent(run, seed, seed=seed, seen=seen) for seed in (1, 2))
    player = BesideTheOriginal(one, other)
    for part in seen.split(20):
        assert torch.equal(player.act(part), one.act(part))
    assert player.chosen == 50
    assert 0 < player.same == int((one.act(seen) == other.act(seen)).sum()) < 50


def test_time_is_summed_over_attempts_once_all_ends_are_known(tmp_path: Path) -> None:
    run = make_player_run(tmp_path)
    assert wall_time_s(run) is None
    for start, end in (("10:00:00", "10:00:30"), ("11:00:00", "11:01:00")):
        run.append_attempt({"start": f"2026-01-01T{start}Z", "end": f"2026-01-01T{end}Z"})
    assert wall_time_s(run) == 90.0
    set_state(run, State.RUNNING)
    assert wall_time_s(run) is None
    set_state(run, State.LOST)
    run.append_attempt({"start": "2026-01-01T12:00:00Z"})
    assert wall_time_s(run) is None
