"""What nobody needs on a host: listed first, and removed only if nothing is lost."""

import json
from dataclasses import replace

import pytest
from elsewhere import launch
from quick_training import end
from waiting import wait_until

from rlmaster.fleet.clearing import discard, guest_runs
from rlmaster.fleet.owed import is_owed
from rlmaster.fleet.run_files import strange_files
from rlmaster.fleet.session import HostSession
from rlmaster.hosts.inventory import read_inventory
from rlmaster.project import Project
from rlmaster.run_status import FINAL_STATES


def ended_run(rlmaster, office, **files: bytes):
    """Make a run on a host that ends with some files, and return its folder here and there."""
    run, there = launch(rlmaster, office)
    for name, content in files.items():
        path = there.path / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    end(there)
    wait_until(lambda: run.status().state in FINAL_STATES, 40)
    wait_until(lambda: not is_owed(run), 40)
    for name in ("starts.txt", "go"):  # which only the training of tests leaves
        (there.path / name).unlink()
    return run, there


@pytest.mark.system
def test_a_run_of_which_all_is_here_goes_and_one_with_more_stays(rlmaster, office):
    _, whole = ended_run(rlmaster, office, tensors__a=b"kept")
    _, more = ended_run(rlmaster, office, replay__chunk=b"frames")

    listed = rlmaster("gc", "--host", "office", "--older-than", "0h", "--list", "--json")

    assert listed.returncode == 0, listed.stderr
    rows = {row["run_id"]: row for row in json.loads(listed.stdout)["runs"]}
    assert rows[whole.id]["only_there_bytes"] == 0
    assert rows[more.id]["only_there_bytes"] == len(b"frames")
    assert whole.exists()
    assert "are only there" in listed.stderr
    assert rlmaster("gc", "--host", "office", "--older-than", "0h").returncode == 2  # not asked

    done = rlmaster("gc", "--host", "office", "--older-than", "0h", "--yes", "--json")

    assert done.returncode == 0, done.stderr
    assert not whole.path.exists()
    assert more.exists()
    assert not list((whole.path.parents[1] / ".trash").iterdir())
    removed = {row["run_id"]: row["removed"] for row in json.loads(done.stdout)["runs"]}
    assert removed == {whole.id: True, more.id: False}

    lossy = rlmaster("gc", "--host", "office", "--older-than", "0h", "--yes", "--give-up-frames")
    assert lossy.returncode == 0, lossy.stderr
    assert not more.path.exists()


@pytest.mark.system
def test_a_run_that_was_resumed_since_it_was_compared_stays(rlmaster, office, lab):
    run, there = launch(rlmaster, office)
    end(there, 75)
    wait_until(lambda: run.status().state in FINAL_STATES, 40)
    wait_until(lambda: not is_owed(run), 40)
    project = Project(rlmaster.project)
    with HostSession.connect(project, read_inventory(project.hosts_file).find("office")) as session:
        guests = list(guest_runs(session, 0.0, print))
        run.write_status(replace(run.status(), attempt=2))
        assert "resumed" in discard(session, guests)[run.id]
    assert there.exists()


@pytest.mark.system
def test_what_differs_here_or_is_nobodys_stays(rlmaster, office):
    run, there = ended_run(rlmaster, office, tensors__a=b"kept")
    (run.path / "tensors" / "a").write_bytes(b"lost")
    done = rlmaster("gc", "--host", "office", "--older-than", "0h", "--yes")
    assert done.returncode == 0, done.stderr
    assert there.exists()
    (run.path / "tensors" / "a").write_bytes(b"kept")
    (there.path / "thesis.txt").write_text("three years of work")

    done = rlmaster("gc", "--host", "office", "--older-than", "0h", "--yes")

    assert done.returncode == 1
    assert "files that are nowhere else" in done.stderr
    assert (there.path / "thesis.txt").exists()


@pytest.mark.system
def test_young_runs_stay_and_there_may_be_nothing(rlmaster, office):
    _, there = ended_run(rlmaster, office)
    done = rlmaster("gc", "--host", "office", "--yes")
    assert done.returncode == 0, done.stderr
    assert "nothing to remove on office" in done.stderr
    assert there.exists()


@pytest.mark.parametrize("path", ["run.json", "log.txt", "replay/a.npz", "requests/stop-1.json"])
def test_what_is_written_by_us_is_not_strange(path):
    assert strange_files([path]) == []


@pytest.mark.parametrize("path", ["thesis.txt", "replay/\x1b[2J", ".hidden", "run.json.bak"])
def test_what_others_have_put_there_is_strange(path):
    assert strange_files([path]) == [path]
