from dataclasses import replace

import pytest

from rlmaster.experiment import Atari, Experiment
from rlmaster.run_folder import Progress, RunFolder, list_runs
from rlmaster.run_status import State, Status
from rlmaster.specification import with_overrides
from rlmaster.standing import compare, standing_sentence

EXPERIMENT = Experiment(name="x", environment=Atari(game="Pong"))


@pytest.fixture
def completed(tmp_path):
    """Make a completed run with a result; each ends a second after the one before."""
    made: list[RunFolder] = []

    def make(value: float, *overrides: str, state=State.COMPLETED, metric="held_out/error"):
        run = RunFolder.create(
            tmp_path,
            config=with_overrides(EXPERIMENT, overrides).to_data(),
            rationale="why",
            provenance={},
            digests={},
            differs_from_default=[],
        )
        ended = f"2026-01-01T10:00:{len(made):02}.000+00:00"
        run.write_status(Status(state, attempt=1, since=ended))
        run.write_progress(Progress(result={"metric": metric, "value": value}))
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
        (2.0, [2.0, 3.0, 4.0], "number 1 of 4 comparable runs"),
        (4.0, [2.0, 3.0, 4.0], "number 3 of 4 comparable runs"),
    ],
)
def test_where_an_error_stands(value, earlier, sentence):
    assert compare(value, earlier) == sentence


def test_a_run_is_compared_with_earlier_ones_like_it(completed, tmp_path):
    for value in (2.0, 3.0, 4.0):
        completed(value, "embedder.latent_dim=9", "seed=2")  # another embedder, same yardstick

    assert standing_sentence(completed(1.0), tmp_path) == "best so far of 4 comparable runs"


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
def test_runs_of_another_yardstick_do_not_count(completed, tmp_path, override):
    for value in (2.0, 3.0, 4.0):
        completed(value, override)

    assert "too few" in standing_sentence(completed(1.0), tmp_path)


def test_runs_that_did_not_complete_or_measured_something_else_do_not_count(completed, tmp_path):
    for state in (State.FAILED, State.STOPPED, State.RUNNING, State.LOST):
        completed(2.0, state=state)
    completed(2.0, metric="score")

    assert "(0 of 3)" in standing_sentence(completed(1.0), tmp_path)


def test_later_runs_do_not_count(completed, tmp_path):
    first = completed(1.0)
    for value in (2.0, 3.0, 4.0):
        completed(value)

    assert "(0 of 3)" in standing_sentence(first, tmp_path)


def test_a_sentence_once_written_never_changes(completed, tmp_path):
    earlier = [completed(value) for value in (2.0, 3.0, 4.0)]
    run = completed(1.0)
    sentence = standing_sentence(run, tmp_path)
    earlier[0].write_progress(
        replace(earlier[0].progress(), result={"metric": "held_out/error", "value": 0.1})
    )

    assert standing_sentence(run, tmp_path) == sentence


def test_a_damaged_neighbour_spoils_nothing(completed, tmp_path):
    for value in (2.0, 3.0, 4.0, 5.0, 6.0):
        completed(value)
    damaged = list_runs(tmp_path)
    damaged[0].config_file.write_text("{")
    damaged[1].progress_file.write_text('{"result": []}')
    assert standing_sentence(completed(1.0), tmp_path) == "best so far of 4 comparable runs"
