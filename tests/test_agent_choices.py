import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmaster.agent_choices import (
    C51,
    DQN,
    Agent,
    DataEfficientRainbow,
    DoubleDQN,
    FastAgent,
    LearningAgent,
    Rainbow,
    RandomAgent,
    ValueAgent,
)
from rlmaster.errors import SpecificationError
from rlmaster.experiment import Atari, Experiment
from rlmaster.specification import with_overrides

LEARNING = [ValueAgent, DQN, DoubleDQN, C51, Rainbow, DataEfficientRainbow, FastAgent]

# Four emulator frames are an agent step, and four agent steps an update.
#
# Mnih et al. (2015), extended data table 1; its target period of 10,000 counts agent steps, as in
# the code that was published with it, and DQN Zoo (Quan and Ostrovski 2020) does the same. "Min
# squared gradient" 0.01 stands under the root of gradients summed over a batch of 32, and torch
# adds its epsilon to the root of their mean: sqrt(0.01) / 32.
NATURE = {
    "double": False,
    "dueling": False,
    "noisy": False,
    "categorical": False,
    "prioritised": False,
    "n_step": 1,
    "discount": 0.99,
    "clip_rewards": True,
    "replay_steps": 1_000_000,
    "warm_up_steps": 50_000,
    "updates_per_step": 1 / 4,
    "batch_size": 32,
    "exploration_start": 1.0,
    "exploration_end": 0.1,
    "exploration_steps": 1_000_000,
    "learning_rate": 0.00025,
    "optimiser": "rmsprop",
    "optimiser_epsilon": 0.003125,
    "max_gradient_norm": None,
    "hidden_units": 512,
    "target_period_updates": 10_000 // 4,
    "target_rate": 1.0,
    "random_shift": 0,
}
PUBLISHED = {
    DQN: NATURE,
    # van Hasselt et al. (2016), appendix: 30,000 agent steps between targets, epsilon 0.01.
    DoubleDQN: NATURE
    | {"double": True, "exploration_end": 0.01, "target_period_updates": 30_000 // 4},
    # Bellemare et al. (2017), section 5: the atoms, Adam with 0.00025 and 0.01 / 32, epsilon 0.01.
    C51: NATURE
    | {
        "categorical": True,
        "num_atoms": 51,
        "v_min": -10.0,
        "v_max": 10.0,
        "exploration_end": 0.01,
        "optimiser": "adam",
        "optimiser_epsilon": 0.01 / 32,
    },
    # Hessel et al. (2018), table 1: history 80,000 frames, target period 32,000 frames.
    Rainbow: NATURE
    | {
        "double": True,
        "dueling": True,
        "noisy": True,
        "categorical": True,
        "prioritised": True,
        "priority_exponent": 0.5,
        "importance_exponent": 0.4,
        "n_step": 3,
        "noise_scale": 0.5,
        "num_atoms": 51,
        "v_min": -10.0,
        "v_max": 10.0,
        "warm_up_steps": 80_000 // 4,
        "exploration_start": 0.0,
        "exploration_end": 0.0,
        "exploration_steps": ValueAgent().exploration_steps,
        "learning_rate": 0.0000625,
        "optimiser": "adam",
        "optimiser_epsilon": 1.5e-4,
        "target_period_updates": 32_000 // 4 // 4,
    },
}
# van Hasselt et al. (2019), appendix E, table of the data-efficient Rainbow.
PUBLISHED[DataEfficientRainbow] = PUBLISHED[Rainbow] | {
    "n_step": 20,
    "noise_scale": 0.1,
    "hidden_units": 256,
    "replay_steps": 100_000,
    "warm_up_steps": 1_600,
    "updates_per_step": 1.0,
    "learning_rate": 0.0001,
    "max_gradient_norm": 10.0,
    "target_period_updates": 2_000,
}


def problems_of(make, *arguments, **values) -> dict[str, str]:
    with pytest.raises(SpecificationError) as caught:
        make(*arguments, **values)
    return {problem.field: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize("preset", PUBLISHED, ids=lambda preset: preset.__name__)
def test_a_preset_is_what_was_published(preset):
    published = PUBLISHED[preset]
    made = preset().to_data()

    assert {name: made[name] for name in published} == pytest.approx(published)


@pytest.mark.parametrize("preset", [RandomAgent, *LEARNING], ids=lambda preset: preset.__name__)
def test_every_agent_survives_json_and_keeps_its_kind(preset):
    experiment = Experiment(name="x", environment=Atari(game="Pong"), agent=preset())

    rebuilt = Experiment.from_data(json.loads(json.dumps(experiment.to_data())))

    assert rebuilt == experiment
    assert type(rebuilt.agent) is preset


@pytest.mark.parametrize("preset", LEARNING, ids=lambda preset: preset.__name__)
def test_a_preset_has_the_sentences_and_ranges_of_its_fields(preset):
    for name, field in ValueAgent.model_fields.items():
        assert preset.model_fields[name].description == field.description
        assert preset.model_fields[name].metadata == field.metadata


@pytest.mark.parametrize("preset", LEARNING, ids=lambda preset: preset.__name__)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_step", 0),
        ("discount", 1.0),
        ("warm_up_steps", 0),
        ("updates_per_step", 0.0),
        ("exploration_end", -0.1),
        ("learning_rate", 0.0),
        ("optimiser", "sgd"),
        ("target_period_updates", 0),
        ("target_rate", 0.0),
        ("num_atoms", 1),
        ("random_shift", 43),
    ],
)
def test_a_value_out_of_range_is_a_problem_of_its_field(preset, name, value):
    problems = problems_of(preset, **{name: value})

    assert list(problems) == [name]
    assert problems[name].startswith(f"{value!r} is not allowed; it must be ")


def test_an_agent_by_itself_is_none():
    for bare in (Agent, LearningAgent):
        assert "does not name what it builds" in problems_of(bare)[""]


# -------------------------------------------------------------------- what does not hold together


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_the_lowest_return_is_below_the_highest(v_min, v_max):
    if v_min < v_max:
        assert ValueAgent(v_min=v_min, v_max=v_max).v_max == v_max
        return
    assert problems_of(ValueAgent, v_min=v_min, v_max=v_max) == {
        "": f"v_min={v_min:g} is not below v_max={v_max:g}; the atoms of a distribution lie "
        "between them"
    }


@pytest.mark.parametrize("preset", LEARNING, ids=lambda preset: preset.__name__)
def test_n_steps_fit_into_the_replay(preset):
    assert preset(n_step=99, replay_steps=100).n_step == 99
    assert problems_of(preset, n_step=100, replay_steps=100) == {
        "": "n_step=100 does not fit in a replay of 100 steps; lower n_step or raise replay_steps"
    }


@pytest.mark.parametrize("preset", LEARNING, ids=lambda preset: preset.__name__)
def test_the_warm_up_gives_a_batch(preset):
    assert preset(warm_up_steps=64, batch_size=64).batch_size == 64
    assert problems_of(preset, warm_up_steps=63, batch_size=64) == {
        "": "a warm-up of 63 steps gives no batch of 64; raise warm_up_steps"
    }


def test_the_replay_holds_a_batch():
    assert ValueAgent(replay_steps=512, batch_size=512).batch_size == 512
    assert problems_of(ValueAgent, replay_steps=1_023, batch_size=1_024) == {
        "": "a replay of 1,023 steps gives no batch of 1,024; raise replay_steps"
    }


def test_an_experiment_and_an_override_name_the_agent_as_the_place():
    experiment = Experiment(name="x", environment=Atari(game="Pong"), agent=C51())

    assert with_overrides(experiment, ["agent.v_min=-5"]).to_data()["agent"]["v_min"] == -5.0
    problems = problems_of(with_overrides, experiment, ["agent.v_min=10"])
    assert list(problems) == ["agent"]
    assert problems["agent"].startswith("v_min=10 is not below v_max=10; ")
    assert list(problems_of(with_overrides, experiment, ["agent.n_step=0"])) == ["agent.n_step"]
