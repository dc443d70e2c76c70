import json
import subprocess

import pytest

pytestmark = pytest.mark.system


@pytest.fixture
def command(lab, rlmaster, project):
    """The command, with a host that is fit and one that is off."""
    lab.add_hosts("office", "garage")[1].kill_sshd()
    lab.write_inventory(project, local=True)
    return rlmaster


def test_a_host_that_is_fit_is_shown_line_by_line(command):
    done = command("hosts", "test", "office")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ok       SSH")
    assert lines[-1] == "Nothing essential is missing."
    push = next(number for number, line in enumerate(lines) if "push notices" in line)
    assert lines[push + 1].strip().startswith("costs: ")
    assert lines[push + 2].strip() == "mend:  rlmaster hosts setup office --push"


def test_all_hosts_are_looked_at_and_one_that_is_off_harms_no_other(command):
    done = command("hosts", "test", "--all", "--json")

    assert done.returncode == 1
    rows = json.loads(done.stdout)["hosts"]
    fit = {row["name"]: row["fit_to_run"] for row in rows}
    assert fit == {"local": True, "office": True, "garage": False}
    findings = {row["name"]: row["findings"] for row in rows}
    assert [finding["name"] for finding in findings["garage"]] == ["SSH"]
    assert {"SSH", "environment", "queue"} <= {f["name"] for f in findings["office"]}


def test_hosts_are_shown_under_their_names(command):
    done: subprocess.CompletedProcess[str] = command("hosts", "test", "--all")

    lines = done.stdout.splitlines()
    assert {"local", "office", "garage"} <= set(lines)
    assert lines[-1] == "No run can do without: SSH."


@pytest.mark.parametrize("arguments", [(), ("office", "--all")])
def test_one_host_or_all_must_be_said(command, arguments):
    done = command("hosts", "test", *arguments)

    assert done.returncode == 2
    assert "name one host, or say --all" in done.stderr
