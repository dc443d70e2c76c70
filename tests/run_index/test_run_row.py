import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import PLAYING, complete, complete_playing, make_run, set_state

from rlmaster.placement import Placement, machine
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_index.row import RunRow, read_row, readable_status
from rlmaster.run_status import State, Status


def row_of(run: RunFolder) -> RunRow:
    return read_row(run, readable_status(run)[0])


def test_a_row_holds_what_is_known_of_a_run(tmp_path):
    run = complete(make_run(tmp_path, parents=("p",)), 0.25, "2026-02-03T04:05:06.000+00:00")
    run.write_conclusion("learned")
    run.standing_file.parent.mkdir()
    run.standing_file.write_text('{"sentence": "best so far of 4 comparable runs"}')

    row = row_of(run)

    assert row.path == f"pong/{run.id}"
    assert (row.id, row.short_id, row.name) == (run.id, run.short_id, "pong")
    assert row.created == run.run()["created"]
    assert (row.state, row.attempt, row.since) == (
        State.COMPLETED,
        1,
        "2026-02-03T04:05:06.000+00:00",
    )
    assert (row.game, row.embedder) == ("pong", "Autoencoder")
    assert (row.agent, row.style, row.who_plays) == ("", "", "")
    assert (row.phase, row.step, row.total, row.share) == ("training", 100, 100, 1.0)
    assert row.trained_share == 1.0
    assert row._replace(phase="rendering").trained_share is None
    assert (row.metric, row.value, row.before, row.best) == ("held_out/error", 0.25, 0.5, 0.25)
    assert (row.rationale, row.conclusion) == ("why", "learned")
    assert row.standing == "best so far of 4 comparable runs"
    assert (row.tags, row.parents, row.digest) == (("ball",), ("p",), "e")
    assert row.differs == ("embedder.latent_dim", "seed")
    assert row.config["embedder.latent_dim"] == 64


def test_a_file_that_is_missing_or_damaged_costs_its_own_part(tmp_path):
    run = complete(make_run(tmp_path), 0.25)
    whole = row_of(run)
    run.config_file.write_text("{")
    run.progress_file.unlink()
    run.rationale_file.unlink()
    run.rationale_file.mkdir()

    row = row_of(run)

    lost = {"game", "embedder", "config_json", "yardstick", "tags", "rationale"}
    lost |= {"phase", "step", "total", "metric", "value", "before", "best"}
    assert {n for n in RunRow._fields if getattr(row, n) != getattr(whole, n)} == lost


@pytest.mark.parametrize("content", ["{", "[]", '{"state": "happy"}'])
def test_a_damaged_status_is_that_of_a_lost_run(tmp_path, content):
    run = make_run(tmp_path)
    run.status_file.write_text(content)

    row = row_of(run)

    assert row.state is State.LOST
    assert "status.json" in row.reason


def test_a_run_json_without_a_time_leaves_the_time_that_the_id_says(tmp_path):
    run = make_run(tmp_path, run_id="20260102-030405-abcdef")
    run.run_file.write_text('{"created": "yesterday"}')

    assert row_of(run).created == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).isoformat(
        timespec="milliseconds"
    )


def test_what_is_no_finite_number_is_no_result(tmp_path):
    run = complete(make_run(tmp_path), float("nan"), best=float("inf"), before=10**400)
    run.config_file.write_text('{"a": {"b": NaN, "c": [Infinity, 1]}}')

    row = row_of(run)

    assert (row.value, row.best, row.before) == (None, None, None)
    assert json.loads(row.config_json) == {"a.b": None, "a.c": [None, 1]}


def test_runs_share_a_yardstick_where_they_may_be_compared(tmp_path):
    seed = complete(make_run(tmp_path, config={"seed": 2}), 0.1)
    other_frames = complete(make_run(tmp_path, config={"frames": {"steps": 5}}), 0.1)
    metric = complete(make_run(tmp_path), 0.1, metric="score")
    usual = row_of(complete(make_run(tmp_path), 0.2)).yardstick

    assert row_of(seed).yardstick == usual
    assert usual != row_of(other_frames).yardstick
    assert usual != row_of(metric).yardstick


def test_of_a_run_that_plays_the_row_says_who_and_how(tmp_path):
    row = row_of(complete_playing(make_run(tmp_path, config=PLAYING), 18.3))

    assert (row.embedder, row.agent, row.style) == ("Autoencoder", "DoubleDQN", "frozen")
    assert row.who_plays == "DoubleDQN, frozen"
    assert (row.axis, row.total, row.higher_is_better) == ("steps", 1000, True)
    assert (row.metric, row.value, row.before) == ("evaluation/return", 18.3, -20.3)
    assert row.config["agent_training.steps"] == 1000


def test_fields_about_an_agent_are_none_of_a_run_that_has_none(tmp_path):
    old = row_of(complete(make_run(tmp_path), 0.25))
    groups = {**PLAYING, "agent": None, "encoder": {"weights": "scratch", "losses": "td"}}
    new = row_of(complete(make_run(tmp_path, config=groups), 0.25))

    assert (new.config, new.yardstick, new.agent) == (old.config, old.yardstick, "")


def test_the_yardstick_of_an_embedder_is_the_one_that_is_in_indexes_already(tmp_path):
    row = row_of(complete(make_run(tmp_path), 0.25))

    assert json.loads(row.yardstick) == {
        "environment.game": "pong",
        "environment.protocol": "machado2018",
        "frames.steps": 1000,
        "frames.type": "rlmaster.experiment:RandomFrames",
        "metric": "held_out/error",
        "training.batch_size": 32,
        "training.updates": 100,
    }


@pytest.mark.parametrize(
    ("changes", "is_comparable"),
    [
        ({"encoder": {"weights": "scratch", "losses": "td"}}, True),
        ({"agent": {"type": "rlmaster.agent_choices:Rainbow"}}, True),
        ({"training": {"updates": 7, "batch_size": 7}, "frames": {"steps": 7}}, True),
        ({"agent_training": {**PLAYING["agent_training"], "steps": 2000}}, False),
        ({"agent_training": {**PLAYING["agent_training"], "evaluation_episodes": 3}}, False),
        ({"environment": {"game": "breakout", "protocol": "machado2018"}}, False),
        ({"agent": None}, False),
    ],
)
def test_runs_that_play_are_compared_by_the_game_and_their_steps(tmp_path, changes, is_comparable):
    usual = row_of(complete_playing(make_run(tmp_path, config=PLAYING), 18.3))
    other = row_of(complete_playing(make_run(tmp_path, config={**PLAYING, **changes}), 18.3))

    assert (other.yardstick == usual.yardstick) == is_comparable


def test_what_canonical_frames_measure_may_have_learned_from_any_frames(tmp_path):
    configs = [
        {"frames": {"type": "RandomFrames", "steps": 5}},
        {"frames": {"type": "AgentFrames", "steps": 5, "policy": "scripted"}},
        {"frames": {"type": "RandomFrames", "steps": 6}},
    ]
    yardsticks = [
        row_of(complete(make_run(tmp_path, config=config), 0.1, metric="canonical/error")).yardstick
        for config in configs
    ]
    assert yardsticks[0] == yardsticks[1] != yardsticks[2]


def test_a_status_that_somebody_knows_better_wins(tmp_path):
    run = make_run(tmp_path)
    set_state(run, State.RUNNING)

    assert read_row(run, Status(State.LOST)).state is State.LOST


def test_a_run_elsewhere_is_on_the_host_that_hosts_toml_names(tmp_path):
    run = make_run(tmp_path)
    set_state(run, State.RUNNING, host="node7")
    assert row_of(run).host == "node7"
    where = Placement("office", "ssh", "node7", "node7-0123", "/there", "/", "python3", 1)

    run.write_placement(where)
    assert row_of(run).host == "office"
    run.write_placement(replace(where, machine=machine(), folder=str(run.path)))
    assert row_of(run).host == "node7"  # this computer itself


def test_more_than_all_is_all(tmp_path):
    run = make_run(tmp_path)
    run.write_progress(Progress(step=300, total=100))

    assert row_of(run).share == 1.0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
names = st.sampled_from(
    [
        *("created", "parents", "digests", "differs_from_default"),  # run.json
        *("state", "since", "attempt", "answered"),  # status.json
        *("step", "total", "eta_s", "phase", "result"),  # progress.json
        *("tags", "environment", "embedder", "frames", "agent", "encoder"),  # config.json
    ]
)
documents = st.dictionaries(names, json_values).map(json.dumps) | st.text() | json_values.map(str)


@given(st.lists(documents, min_size=6, max_size=6))
def test_a_row_comes_of_whatever_lies_in_the_files(tmp_path_factory, contents):
    run = RunFolder(tmp_path_factory.mktemp("runs") / "pong" / "20260102-030405-abcdef")
    run.report.mkdir(parents=True)
    files = [run.run_file, run.config_file, run.status_file, run.progress_file]
    files += [run.tags_file, run.standing_file]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content.encode(errors="surrogatepass"))

    row = row_of(run)

    assert json.loads(row.config_json) == row.config
    for value in (row.name, row.reason, row.rationale, row.config_json, *row.tags, *row.parents):
        value.encode()  # raises what cannot be printed
