from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import PLAYING, complete, make_run, set_state

from rlmaster.durable_files import write_json
from rlmaster.errors import UsageError
from rlmaster.run_index import RunIndex
from rlmaster.run_index.query import KEYS, parse_query
from rlmaster.run_status import State

NOW = datetime(2026, 1, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Three runs: `old` of Pong, `wide` of Ms. Pac-Man, `live`, which has no result yet."""
    runs = tmp_path_factory.mktemp("project") / "runs"
    old = complete(make_run(runs, "old", rationale="Draw the BALL"), 0.5)
    old.report.mkdir()
    write_json(old.standing_file, {"sentence": "best so far of 9 comparable runs"})
    wide = complete(
        make_run(
            runs,
            "wide",
            rationale="größer",
            config={
                "environment": {"game": "ms_pacman"},
                "embedder": {"type": "mine:Wide", "latent_dim": 256, "channels": [1, 2]},
                "training": {"updates": 5000, "learning_rate": 1e-3, "compile": True},
                "tags": ["Größe", "a,b"],
            },
        ),
        0.01,
    )
    wide.write_conclusion("Wider is better.")
    set_state(wide, State.FAILED, host="lab")
    playing = {**PLAYING, "embedder": {"latent_dim": None}}
    live = make_run(runs, "live", rationale="sees more", config=playing)
    set_state(live, State.RUNNING, attempt=2, host="Laptop")
    for number, run in enumerate((old, wide, live)):
        facts = run.run() | {"created": f"2026-01-0{number + 1}T00:00:00.000+00:00"}
        write_json(run.run_file, facts)
    with RunIndex(runs) as index:
        index.sync()
        yield index


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ("", "live wide old"),
        ("ball", "live old"),
        ("BETTER", "wide"),
        ("GRÖSSER", "wide"),
        ("größe", "wide"),
        ("wide/2", "wide"),
        ("better pac", ""),
        ("100%", ""),
        ("\udcff host:\ud800", ""),
        ("state:running", "live"),
        ("State:Failed,completed", "wide old"),
        ("name:i", "live wide"),
        ("experiment:OLD", "old"),
        ("game:MsPacman", "wide"),
        ("game:ms_pacman", "wide"),
        ("game:pac", ""),
        ("host:laptop", "live"),
        ("tag:größe", "wide"),
        ("tag:ball", "live old"),
        ("since:7d", "live"),
        ("since:8d", "live wide"),
        ("since:2026-01-02T00:00+00:00", "live wide"),
        ("since:1w state:failed", ""),
        ("standing:best", "old"),
        ("standing:best,worst", "old"),
        ("standing:worst", ""),
        ("result:<0.1", "wide"),
        ("result:>=0.01", "wide old"),
        ("attempt:2", "live"),
        ("embedder:wide", "wide"),
        ("agent:DoubleDQN", "live"),
        ("agent:dqn", ""),
        ("style:frozen,joint", "live"),
        ("agent_training.steps:>=1000", "live"),
        ("embedder.latent_dim:64", "old"),
        ("embedder.latent_dim:64.0", "old"),
        ("embedder.latent_dim:64,256", "wide old"),
        ("embedder.latent_dim:>64", "wide"),
        ("embedder.latent_dim:null", "live"),
        ("embedder.type:MINE:wide", "wide"),
        ("embedder.channels:[1, 2]", "wide"),
        ("training.compile:true", "wide"),
        ("training.learning_rate:0.0005", "old"),
        ("training.learning_rate:<=5e-4 seed:1", "old"),
        ("Training.Updates:>=1000", "wide"),
    ],
)
def test_a_filter_lets_through(index, filters, names):
    words = [filters] if "[" in filters else filters.split()
    query = parse_query(words, index.config_fields, NOW)

    assert [row.name for row in index.rows(query)] == names.split()
    assert index.count(query) == len(names.split())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stat:failed", "no key 'stat'; did you mean state?"),
        ("embedder.latent:3", "did you mean embedder.latent_dim"),
        ("zzz:3", "no key 'zzz'; there are id, state,"),
        ("state:faild", "no state 'faild'; did you mean failed?"),
        ("state:x", "the states are prepared, queued"),
        ("state:", "has no value; write it state:VALUE"),
        ("standing:middling", "standing is best or worst, not 'middling'"),
        ("since:soon", "since is an age such as 30m"),
        ("since:999999w", "since is an age"),
        ("result:good", "result is compared with a number"),
        ("result:<", "result is compared with a number"),
        ("embedder.type:<b", "only numbers can be compared, and '<b' is none"),
        ("x" * 2000, "50 filters of 1000 characters"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_way_out(index, text, said):
    with pytest.raises(UsageError) as refused:
        parse_query([text], index.config_fields, NOW)

    assert said in str(refused.value)


keys = st.sampled_from([*KEYS, "embedder.latent_dim", "embedder.type", "seed"]) | st.text()
values = st.text() | st.sampled_from(
    ["<1", ">=x", "7d", "best", "[1]", "true", "1e999", "nan", ","]
)
typed = st.lists(st.tuples(keys, values).map(":".join) | st.text(), max_size=4)


@given(typed)
def test_whatever_is_typed_is_a_condition_or_one_sentence(index, filters):
    try:
        query = parse_query(filters, index.config_fields, NOW)
    except UsageError:
        return
    assert len(index.rows(query)) == index.count(query) <= 3
    assert index.note == ""
