"""Frame sources: what they refuse at once, and that each can be built."""

import pytest

from rlmaster.atari.policies import scripted_games
from rlmaster.errors import SpecificationError
from rlmaster.experiment import Atari, Experiment
from rlmaster.frame_sources import (
    SCRIPTED_GAMES,
    AgentFrames,
    FrameSource,
    RandomFrames,
    ReplayFrames,
    UniformStateFrames,
)
from rlmaster.specification import resolve
from rlmaster.training.collecting import Collector

SOURCES = [
    RandomFrames(),
    AgentFrames(),
    AgentFrames(policy="experiments/policies/pong"),
    UniformStateFrames(),
    ReplayFrames(run="abcdef"),
]


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_names_a_collector_and_survives_json(source: FrameSource) -> None:
    assert issubclass(resolve(source.builds), Collector)
    experiment = Experiment(name="x", environment=Atari(game="Pong"), frames=source)
    assert Experiment.from_data(experiment.to_data()) == experiment


def test_the_script_is_refused_for_a_game_that_it_does_not_play() -> None:
    with pytest.raises(SpecificationError, match="no scripted policy for enduro, only for break"):
        Experiment(name="x", environment=Atari(game="Enduro"), frames=AgentFrames())
    random = AgentFrames(policy="random")
    accepted = Experiment(name="x", environment=Atari(game="Enduro"), frames=random)
    assert accepted.defaults()["frames"]["policy"] == "scripted"
    trained = AgentFrames(policy="abcdef")
    assert Experiment(name="x", environment=Atari(game="Enduro"), frames=trained).frames == trained


def test_the_games_with_a_script_are_those_that_the_policy_plays() -> None:
    assert scripted_games() == SCRIPTED_GAMES
