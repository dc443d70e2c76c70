"""The project's own experiments: scripts describe themselves, policies play as they are said to."""

from pathlib import Path
from types import ModuleType

import pytest
import torch

from rlmaster import embedder_choices, frame_sources, load_policy
from rlmaster.agent_choices import (
    C51,
    DQN,
    DataEfficientRainbow,
    DoubleDQN,
    FastAgent,
    Rainbow,
    RandomAgent,
)
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.atari.scores import reference_scores
from rlmaster.durable_files import read_json
from rlmaster.embedder_choices import DrawingEmbedder
from rlmaster.experiment_data import STYLES, training_style
from rlmaster.experiment_script import describe_script
from rlmaster.frame_sources import FrameSource
from rlmaster.training.playing import Evaluator

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
SCRIPTS = sorted(EXPERIMENTS.glob("pong_*.py"))
BREAKOUT = EXPERIMENTS / "breakout_fast.py"
PRESETS = (C51, DQN, DataEfficientRainbow, DoubleDQN, FastAgent, Rainbow, RandomAgent)
POLICIES = sorted((EXPERIMENTS / "policies").iterdir())


@pytest.mark.parametrize("script", [*SCRIPTS, BREAKOUT], ids=lambda script: script.stem)
def test_a_script_describes_itself(script: Path) -> None:
    found = describe_script(script)
    assert found.experiment["name"] == script.stem.replace("_", "-")
    game = script.stem.partition("_")[0]
    assert found.experiment["environment"]["game"] == game
    assert found.title.startswith(f"{game.title()}: ")
    assert found.title.endswith("?")


@pytest.mark.parametrize(
    ("module", "base", "group", "count"),
    [(embedder_choices, DrawingEmbedder, "embedder", 5), (frame_sources, FrameSource, "frames", 4)],
)
def test_every_embedder_and_every_frame_source_has_a_script(
    module: ModuleType, base: type, group: str, count: int
) -> None:
    experiments = [describe_script(script).experiment for script in SCRIPTS]
    shown = {str(experiment[group]["type"]) for experiment in experiments if experiment[group]}
    offered = {
        f"{module.__name__}:{name}"
        for name, part in vars(module).items()
        if isinstance(part, type) and issubclass(part, base) and "builds" in vars(part)
    }
    assert len(offered) == count
    assert offered <= shown


def test_every_agent_and_every_training_style_has_a_script() -> None:
    shown = [describe_script(script).experiment for script in SCRIPTS]
    agents = {str(experiment["agent"]["type"]) for experiment in shown if experiment["agent"]}
    assert {f"{part.__module__}:{part.__name__}" for part in PRESETS} <= agents
    styles = set(STYLES.values()) - {"parallel, pretrained", "joint, pretrained"}
    assert styles <= {training_style(experiment) for experiment in shown}


@pytest.mark.parametrize("folder", POLICIES, ids=lambda folder: folder.name)
def test_a_shipped_policy_is_small_and_knows_its_game(folder: Path) -> None:
    config, result = read_json(folder / "config.json"), read_json(folder / "result.json")
    assert config is not None
    assert result is not None
    assert (folder / "policy.safetensors").stat().st_size == result["policy"]["bytes"] < 2_000_000
    atari = config["environment"]
    evaluator = Evaluator(
        atari["game"],
        PROTOCOLS[atari["protocol"]],
        episodes=1,
        exploration=0.01,  # so that none waits for a ball that it never serves
        seed=12345,  # which is that of no run
        device=torch.device("cpu"),
    )
    came_to = evaluator.play(load_policy(folder), lambda _steps: None).returns
    scores = reference_scores(atari["game"])
    assert scores is not None
    assert came_to.mean > scores.random + (result["policy"]["mean_return"] - scores.random) / 4
