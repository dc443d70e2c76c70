import shutil

import pytest
from waiting import wait_until

from rlmaster.errors import LaunchError, UsageError
from rlmaster.experiment_script import describe_script
from rlmaster.hosts.inventory import Host
from rlmaster.launcher import HostChoice, launch
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
