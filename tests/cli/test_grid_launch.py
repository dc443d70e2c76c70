import json

import pytest
import typer

from rlmaster.cli import hosts
from rlmaster.cli.grid_launch import Placing, launch_each
from rlmaster.errors import HostError
from rlmaster.experiment_script import describe_script
from rlmaster.hosts.inventory import read_inventory
from rlmaster.hosts.selection import Candidate
from rlmaster.project import Project
from rlmaster.run_folder import list_runs

GIVEN = ("--rationale", "why", "--host", "local", "--yes")


def test_a_bad_value_in_a_grid_launches_nothing(command, project):
    outcome = command("launch", "tiny", *GIVEN, "--set", "training.updates=10,0")

    assert outcome.code == 2
    assert outcome.err.startswith("training.updates: '0' is not allowed")
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--follow"], "--follow watches one run, and these are 2"),
        (["--begin-at", "3"], "--begin-at is 1 to 2 here, not 3"),
        (["--begin-at", "0"], "--begin-at is 1 to 2 here, not 0"),
    ],
)
def test_what_does_not_go_with_a_grid_is_said(command, project, arguments, sentence):
    outcome = command("launch", "tiny", *GIVEN, "--set", "seed=1,2", *arguments)

    assert outcome.code == 2
    assert outcome.err.startswith(sentence)
    assert not (project / "runs").exists()


@pytest.mark.learns
def test_a_grid_is_launched_run_by_run_with_one_snapshot(rlmaster):
    done = rlmaster("launch", "tiny", *GIVEN, "--set", "seed=1,2,3", "--begin-at", "2", "--json")

    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["runs"]
    made = sorted(list_runs(rlmaster.project / "runs"), key=lambda run: run.config()["seed"])
    assert [run.config()["seed"] for run in made] == [2, 3]
    assert {row["run_id"] for row in rows} == {run.id for run in made}
    assert set(rows[0]) == {"run_id", "run_folder", "host", "state", "attempt"}
    assert done.stderr.count("code kept as snapshot") == 1
    assert "launching 2 of 3 on local" in done.stderr
    assert "launched 2 runs" in done.stderr


@pytest.mark.learns
def test_a_branch_makes_a_grid_as_well(rlmaster, finished_run):
    run = str(finished_run.folder.path)
    rlmaster.environment["RLMASTER_PROJECT"] = str(rlmaster.project)
    done = rlmaster("branch", run, "--set", "seed=11,12", *GIVEN, "--json")

    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["runs"]) == 2
    assert done.stderr.count("it begins anew, since seed is changed") == 1


# ------------------------------------------------------------------------------------ in pieces


@pytest.fixture
def grid(project):
    script = project / "experiments" / "tiny.py"
    return [describe_script(script, [f"seed={seed}"]) for seed in (1, 2, 3)]


@pytest.fixture
def placing(project):
    """Two hosts that are alike."""
    (project / "hosts.toml").write_text(
        '[hosts.local]\nkind = "local"\n[hosts.box]\nkind = "local"\n'
    )
    home = Project(project)
    probe = hosts.measure_hosts(home)[0].probe
    candidates = [Candidate(host, probe) for host in read_inventory(home.hosts_file).hosts]
    return Placing(home, "auto", candidates)


class Failing:
    """Launches some runs, and then fails."""

    def __init__(self, made, error):
        self.made, self.error, self.places = list(made), error, []

    def __call__(self, description, choice):
        self.places.append(choice.host.name)
        if not self.made:
            raise self.error
        return self.made.pop(0)


def test_what_was_just_queued_counts_so_that_auto_spreads(grid, placing, finished_run):
    launch_one = Failing([finished_run.folder] * 3, AssertionError())
    launch_each(grid, placing, launch_one, of=3, as_json=False)
    assert launch_one.places == ["local", "box", "local"]


def test_a_failure_half_way_says_what_was_launched_and_how_the_rest_is(
    grid, placing, finished_run, capsys
):
    run = finished_run.folder
    with pytest.raises(HostError):
        launch_each(grid, placing, Failing([run], HostError("gone")), of=3, as_json=True)

    said = capsys.readouterr()
    assert f"launched 1 of 3 runs ({run.short_id})" in said.err
    assert "--begin-at 2 launches the rest" in said.err
    assert json.loads(said.out)["runs"][0]["run_id"] == run.id


def test_a_ctrl_c_half_way_says_so_too(grid, placing, finished_run, capsys):
    with pytest.raises(typer.Exit):
        launch_each(
            grid[1:],
            placing,
            Failing([finished_run.folder], KeyboardInterrupt()),
            of=3,
            as_json=False,
        )

    assert "launched 1 of 2 runs" in (said := capsys.readouterr().err)
    assert "--begin-at 3" in said
    assert "interrupted" in said
