import shutil

import pytest
from kept_checkpoints import keep_checkpoint, make_trained_run
from trained_agents import make_player_run
from waiting import wait_until

from rlmaster.agent_choices import DQN
from rlmaster.embedder_choices import Autoencoder
from rlmaster.errors import LaunchError, UsageError
from rlmaster.experiment import Atari, EncoderTraining, Experiment
from rlmaster.experiment_script import describe_experiment, describe_script
from rlmaster.frame_sources import AgentFrames
from rlmaster.hosts.inventory import Host
from rlmaster.launcher import HostChoice, branch, launch
from rlmaster.project import Project
from rlmaster.run_folder import list_runs
from rlmaster.run_status import FINAL_STATES, State
from rlmaster.snapshot import PACKAGE


@pytest.mark.learns
def test_an_edit_after_launch_changes_nothing_in_what_runs(rlmaster):
    package = rlmaster.project / "rlmaster"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))

    run = rlmaster.launch()
    for file in [package / "worker.py", package / "training" / "__main__.py"]:
        assert file.is_file()
    for folder in ("training", "embedders", "atari", "replay"):
        for file in (package / folder).glob("*.py"):
            file.write_text("raise RuntimeError('edited after launch')\n")
    (rlmaster.project / "experiments" / "tiny.py").write_text("raise RuntimeError('edited')\n")

    wait_until(lambda: run.status().state in FINAL_STATES, 90)
    assert run.status().state is State.COMPLETED, run.log_file.read_text()
    assert run.progress().result


def test_what_was_decided_is_kept_with_the_run(finished_run):
    run, snapshots = finished_run.folder, finished_run.project / "runs" / ".snapshots"
    provenance = run.provenance()

    (snapshot,) = snapshots.iterdir()
    assert provenance["snapshot"] == {"digest": snapshot.name, "left_out": []}
    assert run.run()["digests"]["snapshot"] == snapshot.name
    assert provenance["description"].startswith("Pong: a tiny autoencoder.")
    assert provenance["git"] == {}
    choice = provenance["host_choice"]
    assert (choice["host"], choice["asked_for"]) == ("local", "local")
    assert choice["ranking"][0]["reason"]
    assert run.run()["differs_from_default"] == [
        "frames.steps",
        "training.updates",
        "training.batch_size",
        "training.evaluations",
        "recording.previews",
        "seed",
    ]


@pytest.fixture
def start(project, same_environment):
    """Launch the tiny experiment under a given Python, from this process."""

    def launch_it(rationale: str, python: str | None = None):
        description = describe_script(project / "experiments" / "tiny.py")
        host = HostChoice(Host("local", python=python), "auto", [])
        return launch(
            Project(project), description, rationale=rationale, host=host, say=lambda _text: None
        )

    return launch_it


@pytest.mark.parametrize("rationale", ["", "  \n\t "])
def test_an_empty_rationale_makes_no_run(start, project, rationale):
    with pytest.raises(UsageError, match="rationale is empty"):
        start(rationale)

    assert not (project / "runs").exists()


@pytest.mark.parametrize("python", ["/nonexistent/python", "no-such-python"])
def test_an_interpreter_that_is_not_there_fails_the_run_at_once(start, project, python):
    with pytest.raises(LaunchError, match=f"did not start: .*{python}"):
        start("why", python)

    (run,) = list_runs(project / "runs")
    assert run.status().state is State.FAILED
    assert python in run.status().reason


def test_an_interpreter_without_what_it_needs_is_told_apart(start, tmp_path):
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\necho \"ModuleNotFoundError: No module named 'pydantic'\" >&2\nexit 1\n"
    )
    python.chmod(0o755)

    with pytest.raises(LaunchError, match="No module named 'pydantic'"):
        start("why", str(python))


def described(weights):
    """Return an experiment whose agent begins with a run's embedder, or from scratch."""
    return describe_experiment(
        Experiment(
            name="playing",
            environment=Atari(game="Pong"),
            embedder=Autoencoder(latent_dim=64),
            agent=DQN(),
            encoder=EncoderTraining(weights=weights),
        )
    )


class Unstartable:
    """Makes runs that are whole and never begin, since their Python is not there."""

    def __init__(self, project):
        self.project, self.said = Project(project), []
        host = HostChoice(Host("local", python="/nonexistent/python"), "local", [])
        self._options = {"rationale": "why", "host": host, "say": self.said.append}

    def launch(self, description):
        """Launch an experiment, and return its run."""
        return self._made_by(lambda: launch(self.project, description, **self._options))

    def branch(self, parent, description, checkpoint):
        """Branch from a run, and return the new one."""
        return self._made_by(
            lambda: branch(
                self.project, parent, description, checkpoint=checkpoint, **self._options
            )
        )

    def _made_by(self, act):
        before = {run.id for run in list_runs(self.project.runs)}
        with pytest.raises(LaunchError, match="did not start"):
            act()
        (new,) = (run for run in list_runs(self.project.runs) if run.id not in before)
        return new


@pytest.fixture
def unstartable(project, same_environment):
    return Unstartable(project)


def test_the_weights_that_an_agent_begins_with_come_along(unstartable):
    trained = make_trained_run(unstartable.project.runs)

    run = unstartable.launch(described(trained.short_id))

    (kept,) = trained.checkpoint_folders()
    assert {path.name for path in run.encoder_weights.iterdir()} == {
        "manifest.json",
        "networks.safetensors",
    }
    assert all((kept / path.name).samefile(path) for path in run.encoder_weights.iterdir())
    assert run.config()["encoder"]["weights"] == trained.id
    assert run.run()["parents"] == [trained.id]
    assert run.encoder_from() == {"run": trained.id, "updates": 100, "frames": 1000}
    assert f"its encoder begins as update-000000100 of run {trained.short_id}" in unstartable.said


def test_an_agent_from_scratch_takes_nothing_along(unstartable):
    run = unstartable.launch(described("scratch"))

    assert not run.encoder_weights.exists()
    assert (run.encoder_from(), run.run()["parents"]) == ({}, [])


def test_a_branch_that_goes_on_has_the_weights_in_its_checkpoint(unstartable):
    trained = make_trained_run(unstartable.project.runs)
    parent = unstartable.launch(described(trained.id))
    checkpoint = keep_checkpoint(parent, "step-000000500")
    parent.replay.mkdir()

    going_on = unstartable.branch(parent, described(trained.id), checkpoint)
    anew = unstartable.branch(parent, described(trained.id), None)

    assert [path.name for path in going_on.checkpoint_folders()] == ["step-000000500"]
    assert not going_on.encoder_weights.exists()
    assert going_on.run()["parents"] == [parent.id]
    assert anew.encoder_weights.is_dir()
    assert anew.run()["parents"] == [parent.id, trained.id]
    assert going_on.encoder_from() == anew.encoder_from() == parent.encoder_from() != {}


def played_by(policy):
    """Return an experiment whose frames a run's agent plays."""
    frames = AgentFrames(policy=policy)
    return describe_experiment(
        Experiment(name="played", environment=Atari(game="Pong"), frames=frames)
    )


def test_an_agent_that_plays_frames_comes_along_and_stays_with_a_branch(unstartable):
    player = make_player_run(unstartable.project.runs)

    run = unstartable.launch(played_by(player.short_id))

    assert run.config()["frames"]["policy"] == player.id
    assert run.run()["parents"] == [player.id]
    kept = player.find_checkpoint()
    networks = "networks.safetensors"
    assert (run.policy / networks).samefile(kept / networks)
    assert f"its frames are played by {kept.name} of run {player.short_id}" in unstartable.said

    checkpoint = keep_checkpoint(run)
    run.replay.mkdir()
    going_on = unstartable.branch(run, played_by(player.id), checkpoint)

    assert {path.name for path in going_on.policy.iterdir()} == {
        "config.json",
        "manifest.json",
        networks,
    }
    assert going_on.run()["parents"] == [run.id]


def test_what_does_not_fit_makes_no_run(unstartable):
    trained = make_trained_run(unstartable.project.runs, Autoencoder(latent_dim=8))

    with pytest.raises(UsageError, match="latent_dim 8 instead of 64"):
        launch(
            unstartable.project,
            described(trained.id),
            rationale="why",
            host=HostChoice(Host("local"), "auto", []),
        )

    assert [run.id for run in list_runs(unstartable.project.runs)] == [trained.id]
