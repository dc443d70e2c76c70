"""What is said of real hosts of the lab, each with something that it lacks."""

import pytest
from lab import Lab

from rlmaster.finding import Finding
from rlmaster.hosts import checking
from rlmaster.hosts.checking import check_host
from rlmaster.hosts.environment import Pins
from rlmaster.hosts.facts import Facts
from rlmaster.hosts.inventory import Host

pytestmark = pytest.mark.system

PINS = Pins(("numpy==1.0", "not-here==1.0"))
FACTS = {"clock_s": 0.0, "python": "3.11.2", "executable": "/usr/bin/python3", "failed": {}}


def found_on(lab: Lab, **fields: str) -> dict[str, Finding]:
    """Check the host, and what holds for all findings."""
    host = Host("office", "ssh", **{"python": lab.python, **fields})
    findings = check_host(host, PINS)
    for finding in findings:
        assert finding.found
        assert (finding.found + finding.cost + finding.remedy).isprintable()
        assert finding.missing == bool(finding.cost) == bool(finding.remedy)
        assert finding.missing or not finding.essential
    found = {finding.name: finding for finding in findings}
    assert len(found) == len(findings)
    return found


def essential(found: dict[str, Finding]) -> list[str]:
    return [finding.name for finding in found.values() if finding.essential]


@pytest.mark.usefixtures("namespaces")
def test_a_host_that_has_everything_is_fit_and_nothing_there_is_changed(lab, office):
    before = sorted(office.home.rglob("*"))

    found = found_on(lab)

    assert set(found) == {
        "SSH", "programs", "clock", "environment", "workspace", "locks", "tmux", "C++ compiler",
        "after logout", "processes", "push notices", "disk room", "memory", "GPU", "queue",
    }  # fmt: skip
    assert essential(found) == []
    assert found["SSH"].found.startswith(f"root@{office.address}:22, known by ssh-ed25519, ")
    assert found["workspace"].found.startswith("/root/rlmaster-workspace, writable")
    assert "1 packages of other versions than here, without not-here" in found["environment"].found
    assert found["push notices"].remedy == "rlmaster hosts setup office --push"
    assert found["queue"].found == "0 runs are made there, 0 waiting"
    assert sorted(office.home.rglob("*")) == before


def test_a_host_that_cannot_be_reached_is_one_line(lab, office):
    office.kill_sshd()

    found = found_on(lab)

    assert list(found) == ["SSH"]
    assert essential(found) == ["SSH"]
    assert found["SSH"].found.startswith("office")


def test_the_way_is_told_with_the_hosts_on_it(lab, office):
    lab.add_host("inner", behind=office)

    found = {f.name: f for f in check_host(Host("inner", "ssh", python=lab.python), PINS)}

    assert " through office," in found["SSH"].found


def test_start_up_files_that_print_are_named(lab, office):
    office.start_up_file("echo Welcome; echo Have a nice day")

    found = found_on(lab)

    assert found["shell"].found == "its start-up files print: Have a nice day"
    assert essential(found) == []


def test_start_up_files_that_end_the_shell_are_named(lab, office):
    office.start_up_file("exit 3")

    found = found_on(lab)

    assert essential(found) == ["programs"]
    assert "ends it before a program begins" in found["programs"].found


def test_an_environment_that_is_not_made_yet_is_named_with_what_makes_it(lab, office):
    found = check_host(Host("office", "ssh"), PINS)

    environment = {finding.name: finding for finding in found}["environment"]
    assert environment.essential
    assert environment.found == "it is not made yet"
    assert environment.remedy == "rlmaster hosts setup office"


@pytest.mark.parametrize(
    ("python", "problem"),
    [
        ("/no/python", "has no Python /no/python"),
        ("/usr/bin/python3", "torch: ModuleNotFoundError"),
    ],
)
def test_a_python_that_cannot_train_is_named(lab, office, python, problem):
    found = found_on(lab, python=python)

    assert essential(found) == ["environment"]
    assert problem in found["environment"].found
    assert "correct `python` of office in hosts.toml" in found["environment"].remedy


@pytest.mark.usefixtures("namespaces")
def test_imports_that_hang_cost_their_own_line(lab, office, monkeypatch):
    monkeypatch.setattr(checking, "IMPORTS_S", 0.3)
    program = lab.shared / "python"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)

    found = found_on(lab, python="/srv/shared/python")

    assert "does not start, hangs, or is no Python" in found["environment"].found
    assert essential(found) == ["environment"]


@pytest.mark.parametrize(("ahead_s", "said"), [(3600, "ahead of ours"), (-3600, "behind ours")])
def test_a_clock_that_is_wrong_is_named(lab, office, ahead_s, said):
    office.set_clock(ahead_s)

    clock = found_on(lab)["clock"]

    assert clock.missing
    assert clock.found.endswith(said)
    assert clock.found.startswith(("3,600 s", "3,599 s"))


def test_programs_that_are_not_there_are_named(lab, office):
    (lab.shared / "bin").mkdir()
    (lab.shared / "bin" / "python3").symlink_to("/usr/bin/python3")
    office.start_up_file("PATH=/srv/shared/bin\n")

    found = found_on(lab)

    assert found["tmux"].found == "there is no tmux"
    assert found["C++ compiler"].found == "there is no g++"
    assert essential(found) == []


def test_a_workspace_that_takes_nothing_is_named(lab, office):
    office.small_disk("/data", 1)
    office.make_read_only("/data")

    found = found_on(lab, workspace="/data/mine")

    assert essential(found) == ["workspace"]
    assert "nothing can be written into /data (Read-only file system)" in found["workspace"].found
    assert found["disk room"].missing


def test_a_place_for_locks_that_takes_none_is_named(lab, office):
    office.set_environment({"RLMASTER_LOCKS": "/proc"})

    found = found_on(lab)

    assert essential(found) == ["locks"]
    assert "RLMASTER_LOCKS" in found["locks"].remedy


def test_a_gpu_that_torch_cannot_use_is_named(lab, office):
    office.gpus("gpu GPU-1 0 0 150754820096 NVIDIA H200\n")

    found = found_on(lab)

    assert found["GPU"].found == "NVIDIA H200 (140 GiB free), through nvml"
    assert found["torch for the GPU"].missing
    assert essential(found) == []


@pytest.mark.usefixtures("namespaces")
def test_a_queue_that_starts_nothing_is_named(lab, office):
    machine = office.execute(["cat", "/etc/machine-id"]).stdout.strip()[:12]
    folder = office.home / ".local/state/rlmaster/queue" / f"office-{machine}"
    folder.mkdir(parents=True)
    (folder / "drained").touch()

    queue = found_on(lab)["queue"]

    assert queue.found.endswith("0 waiting; it is drained")
    assert queue.remedy == "rlmaster hosts drain office --open"


@pytest.mark.parametrize(
    ("settings", "kills"),
    [
        ("KillUserProcesses=yes\nKillOnlyUsers=\nKillExcludeUsers=", True),
        ("KillUserProcesses=no\nKillOnlyUsers=\nKillExcludeUsers=root", False),
        ("KillUserProcesses=yes\nKillOnlyUsers=\nKillExcludeUsers=root ann", False),
        ("KillUserProcesses=yes\nKillOnlyUsers=ann\nKillExcludeUsers=", False),
    ],
)
def test_what_systemd_does_at_logout_is_read_from_it(lab, office, settings, kills):
    program = lab.shared / "bin" / "loginctl"
    program.parent.mkdir()
    lines = "; ".join(f"echo {line}" for line in settings.splitlines())
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    office.set_environment({"PATH": "/srv/shared/bin:/usr/bin:/bin"})

    with checking.RemoteHost.connect(Host("office", "ssh")) as remote:
        facts = checking.ask_facts(remote).facts

    assert facts.session is not None
    assert facts.session.kills is kills


@pytest.mark.parametrize("in_scope", [True, False])
def test_runs_that_would_be_killed_at_logout_are_essential(in_scope):
    session = {"user": "ann", "in_scope": in_scope, "kills": True}

    finding = checking._logout(Facts.model_validate({**FACTS, "session": session}))

    assert finding is not None
    assert finding.essential == in_scope
    assert not in_scope or "KillExcludeUsers=root ann" in finding.remedy


@pytest.mark.parametrize(("most", "missing"), [(None, False), (4096, False), (300, True)])
def test_few_processes_that_are_left_are_named(most, missing):
    limits = {"most_processes": most, "processes": 150}

    finding = checking._limits(Facts.model_validate({**FACTS, "limits": limits}))

    assert finding is not None
    assert finding.missing == missing


def test_a_part_that_is_not_answered_is_not_known():
    facts = Facts.model_validate({**FACTS, "failed": {"limits": "OSError: no /proc"}})

    found = {f.name: f for f in checking._told(Host("office", "ssh"), facts)}

    assert found["limits"].found == "OSError: no /proc"
    assert found["tmux"].found == "it did not say"


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs"])
def test_network_disks_are_named(kind):
    place = {"path": "/x", "problem": "", "file_system": kind}
    facts = Facts.model_validate({**FACTS, "workspace": place, "locks": place})

    found = {f.name: f for f in checking._told(Host("office", "ssh"), facts)}

    assert found["workspace"].missing
    assert not found["workspace"].essential
    assert found["locks"].essential


@pytest.mark.parametrize("words", ["echo garbage", "echo {}", "cat /dev/zero | head -c 50000000"])
def test_a_host_that_answers_anything_is_one_line(lab, office, words):
    program = lab.shared / "bin" / "python3"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{words}\n")
    program.chmod(0o755)
    office.set_environment({"PATH": "/srv/shared/bin:/usr/bin:/bin"})

    found = found_on(lab)

    assert essential(found) == ["programs"]
