import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import Lab, LabHost
from tiny_wheels import make_wheels
from waiting import wait_until

from rlmaster.hosts.environment import Pins
from rlmaster.user_config import PATH_VARIABLE

pytestmark = pytest.mark.system

ADDRESS = "ntfy://me:s3cret@127.0.0.1/t0pic"


@pytest.fixture
def office(lab: Lab, project: Path) -> LabHost:
    """A host of the project without a Python of its own, and packages that can be installed."""
    host = lab.add_host("office")
    make_wheels(lab.shared / "wheels", Pins.here(project).lines)
    found = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/shared/wheels"}
    environment = {**found, "PIP_CONFIG_FILE": "/dev/null"}
    if (uv := Path(sys.executable).parent / "uv").exists():
        (lab.shared / "bin").mkdir()
        shutil.copy(uv, lab.shared / "bin")
        settings = host.home / ".config" / "uv" / "uv.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text('no-index = true\nfind-links = ["/srv/shared/wheels"]\n')
        environment["PATH"] = f"/srv/shared/bin:{host.environment['PATH']}"
    host.set_environment(environment)
    (project / "hosts.toml").write_text('[hosts.office]\nkind = "ssh"\n[hosts.here]\nkind="local"')
    return host


@pytest.fixture
def command(office, rlmaster, tmp_path):
    """The command, for somebody who has push addresses."""
    config = tmp_path / "config.toml"
    config.write_text(f'[notify]\npush = ["{ADDRESS}"]\nkinds = ["lost"]\n')
    rlmaster.environment[PATH_VARIABLE] = str(config)
    return rlmaster


def test_a_host_is_set_up_once_and_named_by_its_packages(command, office, project):
    first = command("hosts", "setup", "office")

    assert first.returncode == 0, first.stderr
    digest = Pins.here(project).digest
    assert f"rlmaster-workspace/environments/{digest}/bin/python" in first.stdout
    assert "made just now" in first.stdout
    assert "torch computes on the processor and not on a GPU" in first.stdout
    workspace = office.home / "rlmaster-workspace"
    assert (workspace / "hosts.toml").is_file()  # runs have a project there
    assert (workspace / "runs").is_dir()

    again = command("hosts", "setup", "office", "--json")
    data = json.loads(again.stdout)
    assert data["host"] == "office"
    assert data["workspace"] == "/root/rlmaster-workspace"
    assert not data["environment"]["made"]
    assert data["environment"]["is_fit"]
    assert data["push"] is None


def test_push_addresses_travel_only_when_asked_and_are_never_shown(command, office, project):
    file = office.home / ".config" / "rlmaster" / "config.toml"
    given = command("hosts", "setup", "office", "--push")

    assert given.returncode == 0, given.stderr
    assert ADDRESS in file.read_text()
    assert 'kinds = ["lost"]' in file.read_text()
    taken = command("hosts", "setup", "office", "--no-push", "--json")
    assert json.loads(taken.stdout)["push"] == "removed"
    assert not file.exists()
    assert "s3cret" not in given.stdout + given.stderr + taken.stdout + taken.stderr
    workspace = office.home / "rlmaster-workspace"
    for folder in (workspace, project):
        for path in folder.rglob("*"):
            assert not path.is_file() or b"s3cret" not in path.read_bytes()


def test_without_push_addresses_nothing_is_begun(command, office):
    command.environment[PATH_VARIABLE] = os.devnull

    done = command("hosts", "setup", "office", "--push")

    assert done.returncode == 2
    assert "has no push addresses" in done.stderr
    assert not (office.home / "rlmaster-workspace").exists()


def test_a_ctrl_c_ends_it_there_too(command, office):
    process = subprocess.Popen(
        command.command("hosts", "setup", "office"),
        cwd=command.project,
        env=command.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    assert "making an environment" in process.stderr.readline()

    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert stdout == ""
    assert stderr.endswith(
        "interrupted, and ended on office too; `rlmaster hosts setup office` begins anew\n"
    )
    environments = office.home / "rlmaster-workspace" / "environments"
    wait_until(lambda: all(path.name.endswith(".lock") for path in environments.iterdir()))
    wait_until(lambda: not office.processes("python"))


def test_an_existing_python_is_looked_at(command, office, lab, project):
    (project / "hosts.toml").write_text(
        f'[hosts.office]\nkind = "ssh"\npython = "{lab.python}"\n'
        '[hosts.bare]\nkind = "ssh"\naddress = "office"\npython = "/usr/bin/python3"\n'
    )

    fit = command("hosts", "setup", "office")
    unfit = command("hosts", "setup", "bare")

    assert fit.returncode == 0, fit.stderr
    assert lab.python in fit.stdout
    assert unfit.returncode == 3
    last = unfit.stderr.splitlines()[-1]
    assert last.startswith("runs cannot train with /usr/bin/python3 on bare (torch: Module")
    assert "bare has no " in unfit.stderr


def test_old_environments_are_listed_first_and_removed_on_request(command, office):
    old = office.home / "rlmaster-workspace" / "environments" / f".{'0' * 16}.ab"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))

    listed = command("hosts", "setup", "office", "--remove-old")
    assert listed.returncode == 2
    assert old.name in listed.stderr
    assert "say --yes" in listed.stderr
    assert old.exists()

    removed = command("hosts", "setup", "office", "--remove-old", "--yes", "--json")
    assert [row["removed"] for row in json.loads(removed.stdout)["old"]] == [True]
    assert not old.exists()


@pytest.mark.parametrize(
    ("name", "code", "problem"),
    [("here", 2, "here is this computer"), ("offise", 2, "did you mean office?")],
)
def test_what_is_no_other_computer_is_refused(command, name, code, problem):
    done = command("hosts", "setup", name)

    assert done.returncode == code
    assert problem in done.stderr
    assert done.stdout == ""


def test_a_host_that_cannot_be_reached_is_told_in_a_sentence(command, office):
    office.kill_sshd()

    done = command("hosts", "setup", "office")

    assert done.returncode == 3
    assert done.stderr.startswith("office")
    assert len(done.stderr.splitlines()) == 1
