from dataclasses import replace
from pathlib import Path

import pytest

from rlmaster.agent_choices import DoubleDQN
from rlmaster.experiment import Atari, Experiment
from rlmaster.run_folder import Progress, RunFolder, list_runs
from rlmaster.run_index import RunIndex
from rlmaster.run_status import State, Status
from rlmaster.specification import with_overrides
from rlmaster.standing import compare, standing_sentence

EXPERIMENT = Experiment(name="x", environment=Atari(game="Pong"))
PLAYING = Experiment(name="x", environment=Atari(game="Pong"), agent=DoubleDQN())


@pytest.fixture
def runs(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def completed(runs):
    """Make a completed run with a result; each ends a second after the one before."""
    made: list[RunFolder] = []

    def make(
        value: float, *overrides: str, of=EXPERIMENT, state=State.COMPLETED, digest="", **result
    ):
        run = RunFolder.create(
            runs,
            config=with_overrides(of, overrides).to_data(),
            rationale="why",
            provenance={},
            digests={"experiment": digest},
            differs_from_default=[],
        )
        ended = f"2026-01-01T10:00:{len(made):02}.000+00:00"
        run.write_status(Status(state, attempt=1, since=ended))
        run.write_progress(Progress(result={"metric": "held_out/error", "value": value, **result}))
        made.append(run)
        return run

    return make


@pytest.mark.parametrize(
    ("value", "earlier", "sentence"),
    [
        (1.0, [], "too few earlier runs to compare with (0 of 3)"),
        (1.0, [2.0, 3.0], "too few earlier runs to compare with (2 of 3)"),
        (1.0, [2.0, 3.0, 4.0], "best so far of 4 comparable runs"),
        (5.0, [2.0, 3.0, 4.0], "worst so far of 4 comparable runs"),
        (3.5, [2.0, 3.0, 4.0], "number 3 of 4 comparable runs"),
        (2.0, [2.0, 3.0, 4.0], "shares place 1 of 4 comparable runs"),
        (4.0, [2.0, 3.0, 4.0], "shares place 3 of 4 comparable runs"),
        (2.0, [2.0, 2.0, 2.0], "shares place 1 of 4 comparable runs"),
    ],
)
def test_where_an_error_stands(value, earlier, sentence):
    assert compare(value, earlier) == sentence


def test_where_higher_is_better_the_same_words_mean_the_opposite():
    earlier = [2.0, 3.0, 4.0]

    assert compare(5.0, earlier, higher_is_better=True) == "best so far of 4 comparable runs"
    assert compare(1.0, earlier, higher_is_better=True) == "worst so far of 4 comparable runs"
    assert compare(3.5, earlier, higher_is_better=True) == "number 2 of 4 comparable runs"
    assert compare(4.0, earlier, higher_is_better=True) == "shares place 1 of 4 comparable runs"


def test_the_result_says_whether_higher_is_better(completed, runs):
    for value in (2.0, 3.0, 4.0):
        completed(value)

    run = completed(5.0, higher_is_better=True)

    assert standing_sentence(run, runs) == "best so far of 4 comparable runs"


def test_agents_that_play_stand_by_their_return_wherever_their_encoder_learned(completed, runs):
    playing = {"of": PLAYING, "metric": "evaluation/return", "higher_is_better": True}
    for value in (0.1, 0.2, 0.3):
        completed(value)  # embedders, of which none is compared with an agent
    for number, value in enumerate((-20.0, -15.0, -3.0)):
        completed(value, f"training.updates={number + 1}", **playing)

    best = completed(18.3, "encoder.losses=both", **playing)
    worst = completed(-21.0, **playing)
    longer = completed(20.0, "agent_training.steps=2000000", **playing)

    assert standing_sentence(best, runs) == "best so far of 4 comparable runs"
    assert standing_sentence(worst, runs) == "worst so far of 5 comparable runs"
    assert standing_sentence(longer, runs).startswith("too few earlier runs")


def test_a_run_is_compared_with_earlier_ones_like_it(completed, runs):
    for value in (2.0, 3.0, 4.0):
        completed(value, "embedder.latent_dim=9", "seed=2")  # another embedder, same yardstick

    assert standing_sentence(completed(1.0), runs) == "best so far of 4 comparable runs"


@pytest.mark.parametrize(
    "override",
    [
        "environment.game=Breakout",
        "environment.protocol=classic",
        "frames.steps=200",
        "training.updates=7",
        "training.batch_size=8",
    ],
)
def test_runs_of_another_yardstick_do_not_count(completed, runs, override):
    for value in (2.0, 3.0, 4.0):
        completed(value, override)

    assert "too few" in standing_sentence(completed(1.0), runs)


def test_runs_that_did_not_complete_or_measured_something_else_do_not_count(completed, runs):
    for state in (State.FAILED, State.STOPPED, State.RUNNING, State.LOST):
        completed(2.0, state=state)
    completed(2.0, metric="score")

    assert "(0 of 3)" in standing_sentence(completed(1.0), runs)


def test_repeats_of_the_same_experiment_and_seed_do_not_count(completed, runs):
    completed(1.0, digest="same")
    completed(3.0, "seed=2", digest="same")
    completed(4.0, "seed=3", digest="same")
    completed(5.0, digest="other")

    sentence = standing_sentence(completed(1.0, digest="same"), runs)

    assert sentence == "best so far of 4 comparable runs"


def test_runs_whose_digest_is_not_known_are_no_repeats(completed, runs):
    for value in (2.0, 3.0, 4.0):
        completed(value)

    assert standing_sentence(completed(1.0), runs) == "best so far of 4 comparable runs"


def test_later_runs_do_not_count(completed, runs):
    first = completed(1.0)
    for value in (2.0, 3.0, 4.0):
        completed(value)

    assert "(0 of 3)" in standing_sentence(first, runs)


def test_a_sentence_once_written_never_changes(completed, runs):
    earlier = [completed(value) for value in (2.0, 3.0, 4.0)]
    run = completed(1.0)
    sentence = standing_sentence(run, runs)
    earlier[0].write_progress(
        replace(earlier[0].progress(), result={"metric": "held_out/error", "value": 0.1})
    )

    assert standing_sentence(run, runs) == sentence


def test_a_damaged_neighbour_spoils_nothing(completed, runs):
    for value in (2.0, 3.0, 4.0, 5.0, 6.0):
        completed(value)
    damaged = list_runs(runs)
    damaged[0].config_file.write_text("{")
    damaged[1].progress_file.write_text('{"result": []}')
    assert standing_sentence(completed(1.0), runs) == "best so far of 4 comparable runs"


def test_a_run_without_a_finite_result_has_no_standing(completed, runs):
    for value in (2.0, 3.0, float("nan")):
        completed(value)

    assert standing_sentence(completed(float("inf")), runs) == ""
    assert standing_sentence(completed(1.0, state=State.STOPPED), runs) == ""
    assert "(2 of 3)" in standing_sentence(completed(1.0), runs)


def test_the_sentence_is_in_the_index_as_soon_as_it_is_written(completed, runs):
    run = completed(1.0)
    with RunIndex(runs) as index:
        index.sync()

    sentence = standing_sentence(run, runs)

    with RunIndex(runs) as index:
        assert [row.standing for row in index.rows()] == [sentence]


def test_a_sentence_that_somebody_else_wrote_meanwhile_stays(completed, runs, monkeypatch):
    run = completed(1.0)
    real = RunIndex.comparable_values

    def be_overtaken(index, row):
        run.report.mkdir()
        run.standing_file.write_text('{"sentence": "written first"}')
        return real(index, row)

    monkeypatch.setattr(RunIndex, "comparable_values", be_overtaken)

    assert standing_sentence(run, runs) == "written first"
    assert run.standing() == "written first"
