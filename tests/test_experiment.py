import json
from typing import Any, ClassVar, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError, model_validator

from rlmaster.agent_choices import C51, DQN, RandomAgent, ValueAgent
from rlmaster.embedder_choices import ForwardPredictor, PixelEncoder
from rlmaster.errors import SpecificationError
from rlmaster.experiment import (
    AgentTraining,
    Atari,
    Autoencoder,
    Embedder,
    EmbedderTraining,
    EncoderTraining,
    Experiment,
    RandomFrames,
    Recording,
    Requirements,
    atari_games,
    scientific_digest,
)
from rlmaster.specification import Specification

NOT_SCIENTIFIC = {"name", "tags", "seed", "recording", "requires", "on_lost", "frame_storage"}
# Its latent is as large as the feature map, so that it holds with and without a projection.
EXPERIMENT = Experiment(
    name="x",
    environment=Atari(game="Pong"),
    embedder=Autoencoder(latent_dim=3136),
    agent=ValueAgent(),
)
ABOUT_THE_EMBEDDER = EXPERIMENT.model_copy(update={"agent": None})

experiments = st.builds(
    Experiment,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    environment=st.builds(
        Atari,
        game=st.sampled_from(atari_games()),
        protocol=st.sampled_from(["machado2018", "classic", "atari_100k"]),
        num_environments=st.integers(1, 1024),
    ),
    frames=st.builds(
        RandomFrames,
        steps=st.integers(100, 100_000_000),
        held_out_share=st.floats(0, 1, exclude_min=True, exclude_max=True),
    ),
    embedder=st.builds(
        Autoencoder,
        latent_dim=st.integers(1, 65_536),
        channels=st.tuples(*[st.integers(1, 512)] * 3),
        loss=st.sampled_from(["squared_error", "absolute_error"]),
        foreground_weight=st.floats(0, 1e6),
    ),
    training=st.builds(
        EmbedderTraining,
        updates=st.integers(1, 1_000_000_000),
        learning_rate=st.floats(0, 1, exclude_min=True),
        evaluations=st.integers(3, 10_000),
    ),
    agent=st.one_of(
        st.none(),
        st.just(RandomAgent()),
        st.builds(DQN, discount=st.floats(0, 1, exclude_max=True), double=st.booleans()),
        st.builds(
            C51, num_atoms=st.integers(2, 1001), max_gradient_norm=st.sampled_from([None, 9.0])
        ),
    ),
    agent_training=st.builds(AgentTraining, steps=st.integers(50_001, 10_000_000_000)),
    recording=st.builds(Recording, previews=st.integers(0, 1000)),
    requires=st.builds(
        Requirements,
        gpu=st.booleans(),
        memory_gb=st.floats(0, 1000),
        tags=st.lists(st.sampled_from(["a100", "quiet"])).map(tuple),
    ),
    on_lost=st.sampled_from(["report", "resume"]),
    seed=st.integers(0, 2**31 - 1),
    tags=st.lists(st.text(), max_size=3).map(tuple),
)


def leaves(
    part: Specification, path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], Specification]]:
    """Return every field that holds a value, with the part it is in."""
    found: list[tuple[tuple[str, ...], Specification]] = []
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Specification):
            found += leaves(value, (*path, name))
        else:
            found.append(((*path, name), part))
    return found


def another_value(part: Specification, name: str) -> Any:
    """Return a value that the field allows and does not have."""
    value, annotation = getattr(part, name), type(part).model_fields[name].annotation
    if get_origin(annotation) is Literal:
        return next(choice for choice in get_args(annotation) if choice != value)
    if name == "game":
        return "breakout"
    if isinstance(value, str):
        return f"{value}-2"
    if isinstance(value, bool):
        return not value
    if value is None:
        return 0.5
    if isinstance(value, tuple):
        return (*value[:-1], 7) if value else ("new",)
    return value / 2 or 0.5 if isinstance(value, float) else value + 1


def changed(data: dict[str, Any], path: tuple[str, ...], value: Any) -> Experiment:
    data = json.loads(json.dumps(data))
    inner = data
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return Experiment.from_data(data)


LEAVES = leaves(EXPERIMENT)


@given(experiments)
def test_config_json_brings_the_same_experiment_back(experiment):
    rebuilt = Experiment.from_data(json.loads(json.dumps(experiment.to_data(), ensure_ascii=False)))

    assert rebuilt == experiment
    assert rebuilt.digest() == experiment.digest()
    assert rebuilt.to_data() == experiment.to_data()


@pytest.mark.parametrize(("path", "part"), LEAVES, ids=[".".join(path) for path, _part in LEAVES])
def test_the_digest_ignores_what_is_not_scientific_and_nothing_else(path, part):
    # Who learns end to end has no use for collected frames, nor for the encoder's own loss.
    base = ABOUT_THE_EMBEDDER if path[0] in ("frames", "training") else EXPERIMENT
    experiment = changed(base.to_data(), path, another_value(part, path[-1]))

    assert experiment != base
    assert (experiment.digest() == base.digest()) is (path[0] in NOT_SCIENTIFIC)


@pytest.mark.parametrize("name", list(AgentTraining.model_fields))
def test_without_an_agent_the_digest_ignores_how_one_is_trained(name):
    training = AgentTraining()
    data = {**ABOUT_THE_EMBEDDER.to_data(), "agent_training": training.to_data()}

    experiment = changed(data, ("agent_training", name), another_value(training, name))

    assert experiment != ABOUT_THE_EMBEDDER
    assert experiment.digest() == ABOUT_THE_EMBEDDER.digest()


def test_agents_that_differ_have_different_digests():
    agents = [None, RandomAgent(), ValueAgent(), ValueAgent(double=True), DQN(), C51()]
    experiments = [EXPERIMENT.model_copy(update={"agent": agent}) for agent in agents]

    assert len({experiment.digest() for experiment in experiments}) == len(agents)


@pytest.mark.parametrize(("path", "part"), LEAVES, ids=[".".join(path) for path, _part in LEAVES])
def test_every_field_has_its_sentence(path, part):
    sentence = type(part).model_fields[path[-1]].description

    assert sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    "spelling", ["ms_pacman", "MsPacman", "ms-pacman", "Ms. Pacman", "MSPACMAN"]
)
def test_a_game_goes_by_any_spelling(spelling):
    assert Atari(game=spelling).game == "ms_pacman"


def test_all_games_are_known_and_each_by_its_own_name():
    assert len(atari_games()) > 100
    assert {Atari(game=game).game for game in atari_games()} == set(atari_games())


@pytest.mark.parametrize("game", ["Pnog", "pongg", "Breakot", "qqqq", "", "ALE/Pong-v5"])
def test_an_unknown_game_is_refused_with_what_may_be_meant(game):
    with pytest.raises(SpecificationError) as caught:
        Atari(game=game)

    (problem,) = caught.value.problems
    assert problem.field == "game"
    assert repr(game) in problem.message
    near = {"Pnog": "pong", "pongg": "pong", "Breakot": "breakout"}
    assert (f"did you mean {near[game]}" if game in near else "") in problem.message


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a b", "-a", "ü", "a\n", "x" * 65])
def test_a_name_must_be_a_plain_folder_name(name):
    with pytest.raises(SpecificationError):
        Experiment(name=name, environment=Atari(game="Pong"))


def test_defaults_leave_only_what_has_none():
    experiment = Experiment(
        name="x",
        environment=Atari(game="Breakout", num_environments=3),
        embedder=Autoencoder(latent_dim=5),
        seed=4,
        tags=("a",),
    )

    defaults = experiment.defaults()

    assert defaults["environment"] == Atari(game="Breakout").to_data()
    assert defaults["embedder"]["latent_dim"] == 256
    assert (defaults["seed"], defaults["tags"], defaults["name"]) == (1, [], "x")


class Deep(Embedder):
    """An embedder with a required field, and fields that must fit together."""

    builds: ClassVar[str] = "nowhere:DeepNetwork"

    depth: int
    """Layers."""
    width: int = 8
    """Size of a layer, a multiple of the depth."""

    @model_validator(mode="after")
    def _fits(self):
        if self.width % self.depth:
            raise ValueError("the width must be a multiple of the depth")
        return self


def test_defaults_keep_what_is_required_and_need_not_fit_together():
    embedder = Deep(latent_dim=5, depth=3, width=9)
    experiment = Experiment(name="x", environment=Atari(game="Pong"), embedder=embedder)

    defaults = experiment.defaults()["embedder"]

    kind = f"{Deep.__module__}:Deep"
    assert defaults == {"type": kind, "latent_dim": 256, "depth": 3, "width": 8}


@pytest.mark.parametrize("channels", [(0, 8, 8), (8, -3, 8), (8, 8, 4097), (8, 8, 10**9)])
def test_channels_out_of_range_are_refused_with_the_range(channels):
    with pytest.raises(SpecificationError, match="at least 1 and at most 4096") as caught:
        Autoencoder(channels=channels)

    (problem,) = caught.value.problems
    assert problem.field.startswith("channels.")


def test_parts_are_not_shared_between_kinds():
    with pytest.raises((SpecificationError, ValidationError)):
        Experiment(name="x", environment=Atari(game="Pong"), embedder=RandomFrames())


def test_a_config_of_a_time_without_requirements_is_read():
    data = EXPERIMENT.to_data()
    del data["requires"], data["on_lost"]

    experiment = Experiment.from_data(data)

    assert experiment == EXPERIMENT
    assert (experiment.requires, experiment.on_lost) == (Requirements(), "report")


# ---------------------------------------------------------------------------------- with an agent


def refusal(**fields) -> str:
    """Return the one sentence with which an experiment is refused."""
    with pytest.raises(SpecificationError) as caught:
        Experiment(name="x", environment=Atari(game="Pong"), **fields)
    (problem,) = caught.value.problems
    return problem.message


def test_a_config_of_a_time_without_agents_is_read_and_has_the_digest_that_it_had():
    data = ABOUT_THE_EMBEDDER.to_data()
    del data["agent"], data["agent_training"], data["encoder"]

    assert Experiment.from_data(data) == ABOUT_THE_EMBEDDER
    assert scientific_digest(data) == ABOUT_THE_EMBEDDER.digest()


def test_an_embedder_without_a_loss_needs_an_agent():
    expected = (
        "PixelEncoder has no loss of its own; name an agent that trains it (encoder.losses=td), "
        "or another embedder, such as Autoencoder"
    )
    assert refusal(embedder=PixelEncoder()) == expected


@pytest.mark.parametrize("losses", ["representation", "both"])
def test_an_embedder_without_a_loss_is_not_trained_by_it_beside_an_agent(losses):
    encoder = EncoderTraining(losses=losses)
    message = refusal(embedder=PixelEncoder(), agent=DQN(), encoder=encoder)

    assert message.startswith("PixelEncoder has no loss of its own; ")


@pytest.mark.parametrize("losses", ["td", "none"])
def test_an_embedder_without_a_loss_is_welcome_to_an_agent(losses):
    experiment = Experiment(
        name="x",
        environment=Atari(game="Pong"),
        embedder=PixelEncoder(),
        agent=DQN(),
        encoder=EncoderTraining(losses=losses),
    )

    assert Experiment.from_data(experiment.to_data()) == experiment


@pytest.mark.parametrize(
    "encoder",
    [EncoderTraining(losses="none"), EncoderTraining(weights="a1b2"), {"target_rate": 0.5}],
)
def test_encoder_settings_need_an_agent(encoder):
    assert refusal(encoder=encoder) == "encoder says what an agent's losses do; name an agent too"


def test_an_embedder_of_more_frames_than_an_agent_sees_is_refused():
    embedder = ForwardPredictor(stacked_frames=5)
    Experiment(name="x", environment=Atari(game="Pong"), embedder=embedder)
    assert refusal(embedder=embedder, agent=RandomAgent()) == (
        "embedder.stacked_frames=5 are more than the 4 frames that an agent sees at a time; choose "
        "4 or fewer"
    )


def test_an_encoder_that_would_never_be_unfrozen_is_refused():
    assert refusal(agent=DQN(), encoder=EncoderTraining(unfreeze_at_steps=1_000_000)) == (
        "encoder.unfreeze_at_steps=1,000,000 is not before the end, "
        "agent_training.steps=1,000,000; lower it, or freeze the encoder for good with "
        "encoder.losses=none"
    )


@pytest.mark.parametrize(
    ("num_environments", "warm_up_steps", "replay_steps", "holds"),
    [(8, 80, 1000, True), (8, 79, 1000, False), (10, 1000, 100, True), (11, 1000, 100, False)],
)
def test_each_environment_gives_a_return_by_the_first_update(
    num_environments, warm_up_steps, replay_steps, holds
):
    agent = DQN(n_step=10, warm_up_steps=warm_up_steps, replay_steps=replay_steps)
    fields = {
        **EXPERIMENT.to_data(),
        "environment": {"game": "pong", "num_environments": num_environments},
        "agent": agent.to_data(),
    }
    if holds:
        assert Experiment.from_data(fields).agent == agent
        return
    with pytest.raises(SpecificationError, match=r"agent.n_step=10 needs .* each gives 9; raise"):
        Experiment.from_data(fields)


def test_defaults_keep_which_agent_it_is():
    agent = DQN(double=True, batch_size=64)

    defaults = EXPERIMENT.model_copy(update={"agent": agent}).defaults()

    assert defaults["agent"] == DQN().to_data()
    assert ABOUT_THE_EMBEDDER.defaults()["agent"] is None


def test_a_run_that_ends_in_its_warm_up_is_refused():
    def described(steps: int) -> Experiment:
        training = AgentTraining(steps=steps)
        return Experiment(
            name="x",
            environment=Atari(game="Pong"),
            agent=DQN(warm_up_steps=5000),
            agent_training=training,
        )

    assert described(5001).agent_training.steps == 5001
    with pytest.raises(SpecificationError, match=r"steps=5,000 end before anything is learned"):
        described(5000)
