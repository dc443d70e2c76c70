import pytest
from made_runs import CONFIG, PLAYING, complete, complete_playing, make_run, set_state

from rlmaster.reports.comparison import Comparison, compare
from rlmaster.run_folder import Progress
from rlmaster.run_index.row import RunRow, read_row
from rlmaster.run_status import State


@pytest.fixture
def row(tmp_path):
    """Make a run of an experiment with a seed, and return what is known of it."""
    count = 0

    def make(value: float | None, seed: int = 1, digest: str = "", **changes) -> RunRow:
        nonlocal count
        count += 1
        latent_dim = changes.pop("latent_dim", 64)
        config = {"seed": seed, "embedder": {**CONFIG["embedder"], "latent_dim": latent_dim}}
        config |= changes.pop("config", {})
        run_id = f"20260101-{count:06}-abc{count:03}"
        run = make_run(tmp_path, run_id=run_id, config=config)
        if value is None:
            set_state(run, State.RUNNING)
        else:
            complete(run, value, **changes)
        return read_row(run, run.status())._replace(digest=digest or f"dim {latent_dim}")

    return make


def means(comparison: Comparison) -> list[list[tuple[str, int, float]]]:
    """Return settings, count and mean of each experiment of each contest."""
    return [
        [
            (g.settings, g.mean.count, g.mean.mean) if g.mean else (g.settings, 0, 0.0)
            for g in c.groups
        ]
        for c in comparison.contests
    ]


def test_an_embedder_is_told_by_the_name_of_its_class(row):
    kinds = [f"rlmaster.embedder_choices:{name}" for name in ("Autoencoder", "ForwardPredictor")]
    rows = [row(0.1, digest=kind, config={"embedder": {"type": kind}}) for kind in kinds]

    (contest,) = compare(rows).contests

    settings = {group.settings for group in contest.groups}
    assert settings == {"type=Autoencoder", "type=ForwardPredictor"}


def test_the_fields_that_differ_are_named_and_the_rest_is_counted(row):
    other = {"training": {"updates": 100, "batch_size": 32, "weight_decay": 0.5}}
    rows = [row(0.1, latent_dim=32), row(0.2, latent_dim=64, seed=2, config=other)]

    found = compare(rows)

    assert {one.field: one.values for one in found.differences} == {
        "embedder.latent_dim": ("32", "64"),
        "training.learning_rate": ("0.0005", ""),
        "training.weight_decay": ("", "0.5"),
        "seed": ("1", "2"),
    }
    assert found.same == len({**rows[0].config, **rows[1].config}) - 4


def test_runs_that_differ_by_their_seed_count_together_best_first(row):
    rows = [
        row(0.5, 1, latent_dim=32),
        row(0.1, 2, latent_dim=64),
        row(0.3, 1, latent_dim=64),
        row(0.3, 2, latent_dim=32),
    ]

    found = compare(rows)

    assert means(found) == [[("latent_dim=64", 2, 0.2), ("latent_dim=32", 2, 0.4)]]
    best, worst = found.contests[0].groups
    assert (best.is_best, worst.is_best) == (True, False)
    assert [(one.seed, one.row.value) for one in best.outcomes] == [("1", 0.3), ("2", 0.1)]


def test_where_more_is_better_the_highest_mean_wins(row):
    rows = [row(1.0, latent_dim=32, higher_is_better=True), row(2.0, higher_is_better=True)]

    (contest,) = compare(rows).contests

    assert contest.higher_is_better
    assert [group.settings for group in contest.groups] == ["latent_dim=64", "latent_dim=32"]


def test_a_single_experiment_is_no_winner(row):
    (contest,) = compare([row(0.1, 1), row(0.2, 2)]).contests

    assert [group.is_best for group in contest.groups] == [False]


def test_of_a_seed_that_was_run_twice_the_newest_counts_and_nothing_unfinished_does(row):
    rows = [row(0.9, 1), row(0.1, 1), row(0.3, 2), row(None, 3)]

    (contest,) = compare(rows).contests
    (group,) = contest.groups

    assert group.mean is not None
    assert (group.mean.count, group.mean.mean) == (2, 0.2)
    assert [one.counts for one in group.outcomes] == [False, True, True, False]


def test_a_run_that_was_stopped_with_a_value_does_not_count(row, tmp_path):
    run = make_run(tmp_path, run_id="20260102-000000-abcdef")
    run.write_progress(Progress(result={"metric": "held_out/error", "value": 0.0}))
    set_state(run, State.STOPPED)

    (contest,) = compare([row(0.5, digest="e"), read_row(run, run.status())]).contests

    assert contest.groups[0].mean is not None
    assert contest.groups[0].mean.mean == 0.5


def test_what_was_measured_in_another_way_stands_apart(row):
    breakout = {"environment": {"game": "breakout", "protocol": "machado2018"}}
    rows = [
        row(0.5),
        row(0.1, config=breakout),
        row(0.2, metric="other"),
        row(None, config=breakout),
    ]

    found = compare(rows)

    assert found.unlike == ("environment.game", "metric")
    assert [contest.metric for contest in found.contests] == [
        "held_out/error",
        "held_out/error",
        "other",
    ]
    assert [contest.setting for contest in found.contests] == [
        "game=pong",
        "game=breakout",
        "game=pong",
    ]
    assert len(found.contests[1].groups[0].outcomes) == 2, "one that runs goes with its like"


def test_agents_are_compared_among_each_other_the_highest_return_first(row, tmp_path):
    styles = {"frozen": 3.0, "end-to-end": 12.5}
    rows = [row(0.1)]
    for number, (style, value) in enumerate(styles.items()):
        weights = "20260101-000000-abcdef" if style == "frozen" else "scratch"
        encoder = {"weights": weights, "losses": "none" if style == "frozen" else "td"}
        config = {**PLAYING, "encoder": encoder}
        run = make_run(tmp_path, run_id=f"20260103-00000{number}-abcdef", config=config)
        complete_playing(run, value)
        rows.append(read_row(run, run.status())._replace(digest=style))

    found = compare(rows)

    embedders, agents = found.contests
    assert (embedders.higher_is_better, agents.higher_is_better) == (False, True)
    assert [group.mean.mean for group in agents.groups if group.mean] == [12.5, 3.0]
    assert [group.is_best for group in agents.groups] == [True, False]
    assert "losses=td" in agents.groups[0].settings
    assert "metric" in found.unlike
