"""Where a branch of a run that plays begins: decided before anything is started."""

import pytest
from made_runs import complete_playing, make_run

from rlmaster.agent_choices import DoubleDQN
from rlmaster.cli.branch_start import start_of_branch
from rlmaster.durable_files import write_json
from rlmaster.errors import UsageError
from rlmaster.experiment import AgentTraining, Atari, Experiment
from rlmaster.experiment_script import Source, describe_grid
from rlmaster.run_folder import RunFolder

PLAYING = Experiment(
    name="pong",
    environment=Atari(game="Pong"),
    agent=DoubleDQN(warm_up_steps=400),
    agent_training=AgentTraining(steps=1000),
)


@pytest.fixture
def parent(tmp_path) -> RunFolder:
    """A run that played 1,000 steps and has kept two checkpoints."""
    run = complete_playing(make_run(tmp_path / "runs", config=PLAYING.to_data()), 18.3)
    for name in ("step-000000500", "step-000001000", "best-000000500"):
        (run.checkpoints / name).mkdir(parents=True)
        write_json(run.checkpoints / name / "manifest.json", {"sha256": {}})
    write_json(run.checkpoints / "best.json", {"checkpoint": "best-000000500"})
    return run


def begin(parent: RunFolder, changes: str, start: str | None = None):
    """Decide where a branch with some changes begins."""
    (description,) = describe_grid(Source(parent.config_file, "", []), changes.split())
    return start_of_branch(parent, description, start)


@pytest.mark.parametrize(
    ("changes", "start", "checkpoint", "sentence"),
    [
        ("agent_training.steps=2000", None, "step-000001000", "it goes on from step-000001000"),
        (
            "agent_training.steps=2000 agent.learning_rate=1e-5 encoder.unfreeze_at_steps=10",
            None,
            "step-000001000",
            "it goes on from step-000001000",
        ),
        ("agent_training.steps=501", "best", "best-000000500", "it goes on from best-000000500"),
        ("agent.dueling=true", None, None, "it begins anew, since agent is changed"),
        ("agent.replay_steps=5000", None, None, "it begins anew, since agent is changed"),
        ("encoder.weights=abc234", None, None, "it begins anew, since encoder is changed"),
        ("embedder.dropout=0.1", None, None, "it begins anew, since embedder is changed"),
    ],
)
def test_where_a_branch_begins_is_told(parent, changes, start, checkpoint, sentence):
    began = begin(parent, changes, start)

    assert (began.checkpoint.name if began.checkpoint else None) == checkpoint
    assert began.sentence.startswith(sentence)


@pytest.mark.parametrize(
    ("changes", "start", "sentence"),
    [
        (
            "agent_training.steps=1000",
            None,
            "has 1,000 steps already at step-000001000, so nothing is left of 1,000; ask for more "
            r"\(--set agent_training.steps=...\)",
        ),
        ("agent_training.steps=500", "best", "has 500 steps already at best-000000500"),
        ("agent.noisy=true", "newest", "do not fit another agent.noisy; --from scratch"),
        ("agent.v_max=20", "newest", "do not fit another agent.v_max; --from scratch"),
        ("agent.replay_steps=50000", "newest", "cannot change agent.replay_steps; --from scratch"),
        ("encoder.weights=abc234", "newest", "cannot change encoder.weights; --from scratch"),
        ("seed=2", "newest", "cannot change seed; --from scratch"),
        ("seed=1", "step-000000007", "there are: step-000000500, step-000001000"),
    ],
)
def test_what_could_only_fail_or_do_nothing_is_refused(parent, changes, start, sentence):
    with pytest.raises(UsageError, match=sentence):
        begin(parent, changes, start)


def test_an_agent_where_there_was_none_begins_anew_also_after_runs_of_old(parent, tmp_path):
    (description,) = describe_grid(Source(parent.config_file, "", []), ())
    for left_out in ({"agent"}, {"agent", "agent_training", "encoder"}):
        config = {n: v for n, v in PLAYING.to_data().items() if n not in left_out}
        embedder = make_run(tmp_path / "runs", config=config)

        began = start_of_branch(embedder, description, None)

        assert began.checkpoint is None
        assert began.sentence == "it begins anew, since agent is changed"
