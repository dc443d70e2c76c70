"""What config.json may say when a run goes on, and what is told of what it may not."""

import re
import shlex

import pytest
from made_runs import CONFIG, PLAYING, make_run

from rlmaster.durable_files import write_json
from rlmaster.errors import UsageError
from rlmaster.launched_experiment import launched_experiment, require_as_launched
from rlmaster.run_folder import RunFolder

LAUNCHED = {"name": "pong", **CONFIG, **PLAYING, "recording": {"previews": 12}, "on_lost": "report"}


@pytest.fixture
def run(tmp_path) -> RunFolder:
    made = make_run(tmp_path, config=LAUNCHED)
    write_json(made.provenance_file, {"script": "x.py", "experiment": LAUNCHED})
    return made


def edit(run: RunFolder, **groups: object) -> None:
    """Change fields of config.json as a person does, who leaves the rest of a group as it was."""
    merged = {
        name: {**LAUNCHED.get(name, {}), **group} if isinstance(group, dict) else group
        for name, group in groups.items()
    }
    write_json(run.config_file, {**LAUNCHED, **merged})


def refusal(run: RunFolder) -> str:
    with pytest.raises(UsageError) as raised:
        require_as_launched(run)
    assert raised.value.exit_code == 2
    return str(raised.value)


def test_what_does_not_change_what_is_learned_may_change(run):
    require_as_launched(run)
    more = {"requires": {"gpu": True}, "frame_storage": "disk", "tags": ["new"], "name": "other"}
    unused = {"training": {"learning_rate": 3}, "frames": {"steps": 7}}  # by who learns end to end
    edit(run, recording={"previews": 3}, on_lost="resume", **more, **unused)
    require_as_launched(run)


def test_what_changes_it_is_named_with_both_values_and_the_command_for_it(run):
    edit(run, agent={"learning_rate": 0.001})
    assert refusal(run) == (
        f"config.json of run {run.short_id} was changed since its launch: agent.learning_rate is "
        f"0.001 and was 0.0001; `rlmaster branch {run.short_id} --set agent.learning_rate=0.001` "
        f"makes a new run of that, and run {run.short_id} goes on once it is put back"
    )
    edit(run, seed=2, agent_training={"steps": 2000}, encoder={"weights": "it's [1, 2]"})
    command = re.findall("`(.*)`", refusal(run))[0]
    given = [word for word in shlex.split(command)[3:] if word != "--set"]
    expected = {"seed=2", "agent_training.steps=2000", "encoder.weights=it's [1, 2]"}
    assert set(given) == expected


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"agent": None}, "agent.type is absent and was rlmaster.agent_choices:DoubleDQN"),
        ({"embedder": {"type": "mine:Own"}}, "embedder.type is mine:Own and was rlmaster"),
        ({"agent": {"n_step": 3, "discount": 0.9, "learning_rate": 3}, "seed": 4}, "1 more;"),
        (
            {"agent_training": {"compile": "never"}},
            "agent_training.compile is never and was absent",
        ),
    ],
)
def test_what_cannot_be_set_field_by_field_is_branched_as_it_is(run, changes, shown):
    edit(run, **changes)
    assert shown in refusal(run)
    assert f"`rlmaster branch {run.short_id}` makes" in refusal(run)


def test_a_run_of_before_that_was_kept_goes_on_as_its_config_says(run):
    write_json(run.provenance_file, {"script": "x.py"})
    edit(run, seed=2)
    require_as_launched(run)
    assert launched_experiment(run)["seed"] == 2
