import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from rlmaster.errors import SpecificationError
from rlmaster.experiment import Atari, Autoencoder, Embedder, EmbedderTraining, Experiment
from rlmaster.specification import (
    Specification,
    allowed_values,
    differing_fields,
    digest,
    near_match,
    resolve,
    with_overrides,
)

EXPERIMENT = Experiment(name="x", environment=Atari(game="Pong"))

json_objects = st.dictionaries(
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=5,
)


@pytest.fixture
def own_module(tmp_path, monkeypatch) -> Iterator[str]:
    """A module of a user's own with an embedder's specification in it."""
    (tmp_path / "my_embedders.py").write_text(
        "from typing import ClassVar\n"
        "from rlmaster import Embedder\n\n"
        "class Sparse(Embedder):\n"
        '    """Few latents at a time."""\n\n'
        '    builds: ClassVar[str] = "my_embedders:SparseNetwork"\n\n'
        "    active: int = 8\n"
        '    """How many latents are not zero."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_embedders"
    sys.modules.pop("my_embedders", None)


def problems_of(function, *arguments, **values) -> dict[str, str]:
    with pytest.raises(SpecificationError) as caught:
        function(*arguments, **values)
    return {problem.field: problem.message for problem in caught.value.problems}


# ------------------------------------------------------------------------------------ problems


def test_every_problem_is_reported_at_once():
    problems = problems_of(
        Experiment.from_data,
        {
            "name": "../up",
            "environment": {"game": "Pnog", "num_environments": 0},
            "frames": {"type": "rlmaster.experiment:RandomFrames", "steps": 1},
            "embedder": {"type": "rlmaster.experiment:Autoencoder", "latent_dim": -1},
            "training": {"learning_rate": "fast"},
            "seeed": 3,
        },
    )

    assert set(problems) == {
        "name",
        "environment.game",
        "environment.num_environments",
        "frames.steps",
        "embedder.latent_dim",
        "training.learning_rate",
        "seeed",
    }


def test_a_problem_names_the_value_and_what_would_be_right():
    problems = problems_of(EmbedderTraining, updates=0, precision="float16")

    assert problems["updates"].startswith("0 is not allowed; it must be a whole number, at least 1")
    assert "'float16' is not allowed" in problems["precision"]
    assert "one of auto, float32, bfloat16" in problems["precision"]
    assert "default" in problems["updates"]


def test_a_field_that_is_missing_is_named():
    problems = problems_of(Experiment, name="x")

    assert "is missing" in problems["environment"]


def test_a_typo_in_a_field_is_met_with_the_field_that_was_meant():
    assert "did you mean latent_dim?" in problems_of(Autoencoder, latent_dims=3)["latent_dims"]
    assert "the fields are game," in problems_of(Atari, game="Pong", zzz=1)["zzz"]


def test_a_long_value_is_not_shown_in_full():
    (message,) = problems_of(EmbedderTraining, updates="9" * 500 + "x").values()

    assert len(message) < 300


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, [], {}, "", "1e"])
def test_only_a_number_is_a_learning_rate(value):
    assert "learning_rate" in problems_of(EmbedderTraining, learning_rate=value)


def test_a_specification_cannot_be_changed():
    with pytest.raises(Exception, match="frozen"):
        EXPERIMENT.seed = 2


# --------------------------------------------------------------------------- parts of any kind


def test_a_part_of_a_users_own_module_survives_json(own_module):
    sparse = resolve(f"{own_module}:Sparse")(latent_dim=12, active=3)
    experiment = Experiment(name="x", environment=Atari(game="Pong"), embedder=sparse)

    data = json.loads(json.dumps(experiment.to_data()))
    rebuilt = Experiment.from_data(data)

    assert data["embedder"] == {"type": "my_embedders:Sparse", "latent_dim": 12, "active": 3}
    assert rebuilt == experiment
    assert type(rebuilt.embedder) is type(sparse)


def test_a_part_of_a_users_own_takes_overrides_and_reports_its_problems(own_module):
    sparse = resolve(f"{own_module}:Sparse")()
    experiment = Experiment(name="x", environment=Atari(game="Pong"), embedder=sparse)

    assert with_overrides(experiment, ["embedder.active=5"]).to_data()["embedder"]["active"] == 5
    problems = problems_of(with_overrides, experiment, ["embedder.active=many"])
    assert set(problems) == {"embedder.active"}


@pytest.mark.parametrize(
    "name", ["no_such_module:X", "json:NoSuchClass", "json:dumps", "os", ".x:Y"]
)
def test_a_type_that_names_no_part_is_a_problem_of_its_field(name):
    data = EXPERIMENT.to_data()
    data["embedder"]["type"] = name

    assert set(problems_of(Experiment.from_data, data)) == {"embedder"}


def test_a_part_must_name_what_it_builds():
    assert "builds: ClassVar[str]" in problems_of(Embedder)[""]
    for bare in ({"type": "rlmaster.experiment:Embedder"}, {"latent_dim": 3}):
        problems = problems_of(Experiment.from_data, {**EXPERIMENT.to_data(), "embedder": bare})
        assert list(problems) == ["embedder"]
        assert problems["embedder"].startswith("Embedder does not name what it builds")


def test_a_part_of_another_kind_is_refused():
    data = EXPERIMENT.to_data()
    data["embedder"] = data["frames"]

    assert any(field.startswith("embedder") for field in problems_of(Experiment.from_data, data))


@given(st.text())
def test_resolving_garbage_is_a_value_error(name):
    with pytest.raises(ValueError, match="cannot be imported as module:Class"):
        resolve(f"no_such_package{name}")


# ------------------------------------------------------------------- defaults of a subclass


class Usual(Specification):
    """What the others begin from."""

    share: float = Field(default=0.5, ge=0, le=1)
    """How much of it, 0 to 1."""
    count: int = Field(default=3, ge=1)
    """How many, at least 1."""
    kind: Literal["plain", "fine"] = "plain"
    """Which kind."""


class Changed(Usual):
    """Other defaults, one with a sentence and one with a range of its own."""

    share: float = 0.25
    count: int = 4
    """How many there are here."""
    kind: Literal["plain", "fine"] = "fine"


class ChangedAgain(Changed):
    """Defaults of defaults, and a new range."""

    share: float = 0.75
    count: int = Field(default=5, ge=5)


def test_a_subclass_may_change_a_default_and_nothing_else():
    assert (Changed().share, Changed().count, Changed().kind) == (0.25, 4, "fine")
    assert (ChangedAgain().share, ChangedAgain().count, ChangedAgain().kind) == (0.75, 5, "fine")
    assert (Usual().share, Usual().count, Usual().kind) == (0.5, 3, "plain")


@pytest.mark.parametrize("specification", [Usual, Changed, ChangedAgain])
def test_a_changed_default_keeps_its_range(specification):
    problems = problems_of(specification, share=1.5, count=0, kind="coarse")

    assert set(problems) == {"share", "count", "kind"}
    default = specification.model_fields["share"].default
    expected = f"a number, at least 0 and at most 1 (default {default})"
    assert allowed_values(specification, "share") == expected


def test_a_changed_default_keeps_its_sentence_but_for_one_of_its_own():
    def sentence(specification, name):
        return specification.model_fields[name].description

    assert {sentence(kind, "share") for kind in (Usual, Changed, ChangedAgain)} == {
        "How much of it, 0 to 1."
    }
    assert sentence(Usual, "count") == "How many, at least 1."
    assert sentence(Changed, "count") == "How many there are here."
    assert sentence(ChangedAgain, "count") == "How many there are here."


def test_a_range_of_its_own_is_the_subclass_alone():
    assert "at least 5" in problems_of(ChangedAgain, count=4)["count"]
    assert Changed(count=4) == Changed()
    assert Usual(count=1).count == 1


def test_a_changed_default_out_of_the_range_is_refused():
    class Beyond(Usual):
        """A default that its own range forbids."""

        share: float = 2.0

    assert "2.0 is not allowed" in problems_of(Beyond)["share"]


# ------------------------------------------------------------------------------------ overrides


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=3", ("seed",), 3),
        (" seed = 3 ", ("seed",), 3),
        ("training.learning_rate=1e-4", ("training", "learning_rate"), 1e-4),
        ("embedder.channels=[16, 32, 32]", ("embedder", "channels"), [16, 32, 32]),
        ("environment.game=Ms. Pacman", ("environment", "game"), "ms_pacman"),
        ('tags=["a", "b=c"]', ("tags",), ["a", "b=c"]),
        ("name=3", ("name",), "3"),
    ],
)
def test_an_override_is_typed_by_its_field(override, path, value):
    data = with_overrides(EXPERIMENT, [override]).to_data()
    for name in path:
        data = data[name]

    assert data == value
    assert type(data) is type(value)


def test_overrides_leave_the_rest_and_the_original_alone():
    changed = with_overrides(EXPERIMENT, ["embedder.latent_dim=7", "training.updates=9"])

    assert differing_fields(changed.to_data(), EXPERIMENT.to_data()) == [
        "embedder.latent_dim",
        "training.updates",
    ]
    assert EXPERIMENT.embedder == Autoencoder()


@pytest.mark.parametrize(
    ("override", "field", "words"),
    [
        ("seed", "seed", "field=value"),
        ("embeder.latent_dim=3", "embeder.latent_dim", "did you mean embedder?"),
        ("embedder.laten_dim=3", "embedder.laten_dim", "in embedder; did you mean latent_dim?"),
        ("embedder=3", "embedder", "to choose; there are"),
        ("seed.x=3", "seed.x", "has no fields"),
        ("=3", "", "there is no field ''"),
        ("embedder.channels=[1, 2]", "embedder.channels", ""),
        ("embedder.channels=[1, 2", "embedder.channels", "is not allowed"),
        ("seed=null", "seed", "is not allowed"),
    ],
)
def test_an_override_that_does_not_hold_says_why(override, field, words):
    problems = problems_of(with_overrides, EXPERIMENT, [override])

    assert any(name.startswith(field) and words in text for name, text in problems.items())


def test_all_bad_overrides_are_reported_together():
    assert set(problems_of(with_overrides, EXPERIMENT, ["sed=1", "nonsense", "x.y=2"])) == {
        "sed",
        "nonsense",
        "x.y",
    }


@given(st.text(), st.text())
def test_a_garbage_override_is_a_problem_and_never_another_error(field, value):
    for override in (field, f"{field}={value}", f"embedder.channels={value}", f"seed={value}"):
        changed = EXPERIMENT
        with suppress(SpecificationError):
            changed = with_overrides(EXPERIMENT, [override])
        assert Experiment.from_data(changed.to_data()) == changed


# ---------------------------------------------------------------------------------- small parts


@given(json_objects, st.randoms())
def test_a_digest_does_not_depend_on_the_order_of_keys(data, random):
    keys = list(data)
    random.shuffle(keys)

    assert digest({key: data[key] for key in keys}) == digest(data)


@given(json_objects, json_objects)
def test_different_data_have_different_digests(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (digest(one) == digest(other)) is same


def test_near_match_is_silent_where_nothing_is_near():
    assert near_match("pnog", ["pong", "breakout"]) == "; did you mean pong?"
    assert near_match("qqqq", ["pong", "breakout"]) == ""


def test_differing_fields_are_dotted_and_in_order():
    data = {"a": 1, "b": {"c": 1, "d": [1]}, "e": None, "new": 1}

    assert differing_fields(data, {"a": 2, "b": {"c": 1, "d": [2]}, "e": None}) == [
        "a",
        "b.d",
        "new",
    ]
    assert differing_fields(data, data) == []


def test_allowed_values_are_words():
    assert allowed_values(Embedder, "latent_dim") == (
        "a whole number, at least 1 and at most 65536 (default 256)"
    )
    assert allowed_values(Autoencoder, "channels") == (
        "a list such as [32, 64], with at least this many items: 3, each a whole number, "
        "at least 1 and at most 4096 (default [32, 64, 64])"
    )
    assert allowed_values(Atari, "protocol") == (
        'one of machado2018, classic, atari_100k (default "machado2018")'
    )


@pytest.mark.parametrize(
    ("overrides", "embedder", "agent"),
    [
        (["embedder=VariationalAutoencoder"], "VariationalAutoencoder", "NoneType"),
        (["agent.n_step=5", "agent=Rainbow", "embedder=PixelEncoder"], "PixelEncoder", "Rainbow"),
        (["agent=RandomAgent", "agent=null"], "Autoencoder", "NoneType"),
    ],
)
def test_a_part_is_chosen_by_the_name_of_its_class(overrides, embedder, agent):
    changed = with_overrides(EXPERIMENT, overrides)

    assert type(changed.embedder).__name__ == embedder
    assert type(changed.agent).__name__ == agent
    assert getattr(changed.agent, "n_step", 5) == 5


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("embedder=Autoencodr", "did you mean.*Autoencoder"),
        ("frames=Nothing", "there are RandomFrames, AgentFrames"),
        ("agent.n_step=3", "choose one first, agent= .*Rainbow"),
        ("frames=ReplayFrames", "frames.run: is missing"),
    ],
)
def test_a_part_that_cannot_be_chosen_is_answered_with_those_that_can(override, sentence):
    with pytest.raises(SpecificationError, match=sentence):
        with_overrides(EXPERIMENT, [override])
