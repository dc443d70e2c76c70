import pytest

from rlmaster.agent_choices import DoubleDQN, RandomAgent
from rlmaster.experiment import Atari, EncoderTraining, Experiment
from rlmaster.experiment_data import budget, budget_field, meaningful, training_style

PONG = Atari(game="Pong")
EMBEDDER = Experiment(name="x", environment=PONG)
PLAYS = Experiment(name="x", environment=PONG, agent=DoubleDQN())


@pytest.mark.parametrize(
    ("weights", "losses", "style"),
    [
        ("abc234", "none", "frozen"),
        ("abc234", "td", "fine-tuned"),
        ("scratch", "representation", "parallel"),
        ("scratch", "both", "joint"),
        ("scratch", "td", "end-to-end"),
        ("scratch", "none", "random frozen"),
    ],
)
def test_the_style_is_where_weights_come_from_and_what_changes_them(weights, losses, style):
    encoder = EncoderTraining(weights=weights, losses=losses)
    played = PLAYS.model_copy(update={"encoder": encoder})

    assert training_style(played.to_data()) == style


@pytest.mark.parametrize(
    "experiment",
    [
        EMBEDDER.to_data(),
        PLAYS.model_copy(update={"agent": RandomAgent()}).to_data(),
        {},
        {"agent": {"type": "mine:Own"}, "encoder": {"losses": ["td"]}},
        {"agent": {"type": "mine:Own"}, "encoder": {"losses": "of another time"}},
    ],
)
def test_where_nobody_learns_to_play_or_nobody_knows_how_there_is_no_style(experiment):
    assert training_style(experiment) == ""


def test_a_run_is_as_long_as_its_kind_counts():
    assert (budget_field(EMBEDDER.to_data()), budget(EMBEDDER.to_data())) == (
        "training.updates",
        50_000,
    )
    assert (budget_field(PLAYS.to_data()), budget(PLAYS.to_data())) == (
        "agent_training.steps",
        1_000_000,
    )


def test_what_is_about_an_agent_means_nothing_without_one():
    left_out = EMBEDDER.to_data().keys() - meaningful(EMBEDDER.to_data()).keys()

    assert left_out == {"agent", "agent_training", "encoder"}


@pytest.mark.parametrize(
    ("losses", "left_out"),
    [
        ("td", {"frames", "training"}),
        ("none", {"frames", "training"}),
        ("representation", {"frames"}),
        ("both", {"frames"}),
    ],
)
def test_who_plays_needs_no_frames_and_an_embedders_training_only_for_its_own_loss(
    losses, left_out
):
    encoder = {**PLAYS.to_data()["encoder"], "losses": losses}
    data = {**PLAYS.to_data(), "encoder": encoder}

    assert data.keys() - meaningful(data).keys() == left_out
