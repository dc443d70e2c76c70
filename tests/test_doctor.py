import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from waiting import wait_until

from rlmaster import doctor
from rlmaster.doctor import examine
from rlmaster.finding import Finding
from rlmaster.hosts.probe import Gpu
from rlmaster.hosts.probing import probe_local
from rlmaster.run_lock import FOLDER_VARIABLE
from rlmaster.user_config import PATH_VARIABLE

GPU = Gpu("GPU-1", "NVIDIA H100", 0.0, 2**30, 80 * 2**30, ())


@pytest.fixture(autouse=True)
def quiet(monkeypatch, own_locks):
    """No desktop, and no project but the one that is asked for."""
    for name in ("DBUS_SESSION_BUS_ADDRESS", "RLMASTER_PROJECT", "CXX"):
        monkeypatch.delenv(name, raising=False)


def found_in(place: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(place, deadline_s=30.0)}


def make_program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_everything_is_looked_for_and_what_is_missing_says_what_to_do(project):
    findings = found_in(project)

    assert set(findings) == {
        "project", "Python", "packages", "runs folder", "locks", "clock", "disk room", "memory",
        "GPU", "tmux", "git", "C++ compiler", "LaTeX", "video", "desktop notices",
        "push notices",
    } | ({"torch for the GPU"} & set(findings))  # fmt: skip
    for finding in findings.values():
        assert finding.found
        assert finding.missing == bool(finding.cost) == bool(finding.remedy)
    assert not any(f.missing for f in findings.values() if f.essential)
    assert str(project) in findings["project"].found
    assert findings["video"].found.startswith("H.264 from av ")


def test_nothing_is_left_behind(project, own_locks):
    before = sorted(project.rglob("*"))

    found_in(project)

    assert sorted(project.rglob("*")) == before
    assert not [path for path in own_locks.rglob("*") if path.is_file()]


def test_without_programs_each_is_named_with_its_cost_and_command(project, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    findings = found_in(project)

    for name, program, package in (
        ("tmux", "tmux", "tmux"),
        ("git", "git", "git"),
        ("C++ compiler", "g++", "g++"),
        ("LaTeX", "pdflatex", "latexmk texlive-latex-recommended lmodern"),
    ):
        assert findings[name].found == f"there is no {program}"
        assert findings[name].remedy == f"apt install {package}"
        assert not findings[name].essential


def test_where_there_is_brew_and_no_apt_brew_installs(project, tmp_path, monkeypatch):
    make_program(tmp_path / "bin", "brew", "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert found_in(project)["tmux"].remedy == "brew install tmux"


def test_programs_that_fail_or_hang_are_missing(project, tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    make_program(programs, "tmux", "echo broken library >&2; exit 127")
    make_program(programs, "git", "exec /bin/sleep 60")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(doctor, "PROGRAM_DEADLINE_S", 0.3)

    findings = found_in(project)

    assert findings["tmux"].found == "broken library"
    assert findings["git"].found == "git does not answer"
    assert findings["tmux"].missing
    assert findings["git"].missing


def test_an_examination_that_hangs_costs_its_own_line_only(project, tmp_path, monkeypatch):
    make_program(tmp_path / "bin", "git", "exec /bin/sleep 2")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    findings = {finding.name: finding for finding in examine(project, deadline_s=1.0)}

    assert findings["git"].found == "no answer within 1 s"
    assert findings["git"].missing
    assert not findings["Python"].missing
    wait_until(lambda: not [t for t in doctor.threading.enumerate() if "look" in t.name])


def test_an_examination_that_fails_costs_its_own_line_only(project, monkeypatch):
    def broken(_runs: Path) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(doctor, "_clock", broken)

    findings = found_in(project)

    assert findings["clock"].found == "ZeroDivisionError: a bug"
    assert not findings["locks"].missing


def test_latex_without_a_style_that_the_report_needs_is_missing(project, tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    make_program(programs, "pdflatex", "echo pdfTeX 3")
    make_program(
        programs, "kpsewhich", 'for f; do [ "$f" = lmodern.sty ] || echo "/usr/share/$f"; done'
    )
    monkeypatch.setenv("PATH", str(programs))

    assert found_in(project)["LaTeX"].found == "no lmodern.sty"


@pytest.mark.system
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
def test_latex_that_compiles_the_report_is_enough(project):
    assert not found_in(project)["LaTeX"].missing


def test_packages_that_are_too_old_or_not_there_are_essential(project, monkeypatch):
    wanted = ["numpy>=99", "no-such-package>=1", "av>=99", "rich>=1", "x>=9; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda _name: wanted)

    findings = found_in(project)

    assert "packages" not in findings
    numpy, other = findings["package numpy"], findings["package no-such-package"]
    assert numpy.found == f"{metadata.version('numpy')}, not >=99"
    assert other.found == "none, not >=1"
    assert numpy.remedy.endswith("-m pip install 'numpy>=99'")
    assert numpy.essential
    assert other.essential
    assert {name for name in findings if name.startswith("package ")} == {
        "package numpy", "package no-such-package",
    }  # fmt: skip


def test_versions_that_are_not_tested_are_told_but_not_missing(project, monkeypatch):
    real = metadata.version
    changed = {"numpy": "9999.1", "torch": f"{real('torch').partition('+')[0]}+cu999"}
    monkeypatch.setattr(metadata, "version", lambda name: changed.get(name) or real(name))

    packages = found_in(project)["packages"]

    assert not packages.missing
    assert f"tested with other versions of numpy 9999.1 ({real('numpy')})" in packages.found
    assert "torch" not in packages.found  # the same version, built for a GPU


def test_outside_a_project_that_is_said_and_the_rest_is_looked_at(tmp_path):
    findings = found_in(tmp_path)

    assert findings["project"].missing
    assert not findings["project"].essential
    assert "is in no RLmaster project" in findings["project"].found
    assert not findings["runs folder"].missing


def test_a_runs_folder_that_cannot_be_written_is_essential(project):
    (project / "runs").symlink_to("/proc/self")

    finding = found_in(project)["runs folder"]

    assert finding.missing
    assert finding.essential
    assert finding.found.startswith(f"nothing can be written into {project / 'runs'}")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "ext4", "fuse.mergerfs"])
def test_runs_on_a_network_disk_are_named(project, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(doctor, "MOUNTS", tmp_path / "mounts")
    mount = str(project).replace(" ", "\\040")
    doctor.MOUNTS.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - xfs /dev/sda1 rw\n"
        f"30 22 0:50 / {mount} rw shared:9 master:2 - {kind} server:/home rw\n"
        "31 22 0:51 / /somewhere/else rw - tmpfs tmpfs rw\n"
    )

    findings = found_in(project)

    if kind in ("ext4", "fuse.mergerfs"):
        assert findings["runs folder"].found.endswith(f"writable, on {kind}")
    else:
        assert findings["runs on local disk"].found.endswith(f" is on {kind}")
        assert not findings["runs on local disk"].essential
    assert findings["locks"].found.endswith("on xfs")


def test_locks_on_a_network_disk_or_nowhere_are_essential(project, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "MOUNTS", tmp_path / "mounts")
    doctor.MOUNTS.write_text("22 1 8:1 / / rw - nfs server:/ rw\n")
    on_network = found_in(project)["locks"]
    (tmp_path / f"rlmaster-{os.getuid()}").touch()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    nowhere = found_in(project)["locks"]

    for finding in (on_network, nowhere):
        assert finding.missing
        assert finding.essential
        assert FOLDER_VARIABLE in finding.remedy
    assert "File exists" in nowhere.found


def test_a_clock_before_the_program_was_written_is_wrong(project, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)

    clock = found_in(project)["clock"]

    assert clock.missing
    assert clock.found.startswith("1970-01-01 00:00 UTC, which is before this program was written")


def test_a_disk_whose_server_has_another_clock_is_named(project, monkeypatch):
    real = tempfile.TemporaryFile

    def of_another_time(**options):
        file = real(**options)
        os.utime(file.fileno(), (time.time() + 90, time.time() + 90))
        return file

    monkeypatch.setattr(tempfile, "TemporaryFile", of_another_time)

    clock = found_in(project)["clock"]

    assert clock.missing
    assert clock.found == f"the disk of {project / 'runs'} says +90 s"


def test_little_room_is_named_with_what_frees_some(project, monkeypatch):
    probe = replace(
        probe_local(project), disk_free_bytes=2**29, memory_available_bytes=2**28, gpus=()
    )
    monkeypatch.setattr(doctor, "probe_local", lambda *_, **__: probe)

    findings = found_in(project)

    assert (findings["disk room"].found, findings["memory"].found) == (
        "0.5 GiB free",
        "0.2 GiB free",
    )
    assert "rlmaster gc" in findings["disk room"].remedy
    assert findings["memory"].missing
    assert findings["GPU"].missing


@pytest.mark.parametrize("build", ["+cpu", "+cu128"])
def test_a_gpu_needs_a_torch_that_knows_it(project, monkeypatch, build):
    probe = replace(probe_local(project), gpus=(GPU,), gpu_source="nvml")
    monkeypatch.setattr(doctor, "probe_local", lambda *_, **__: probe)
    real = metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: f"2.13.0{build}" if name == "torch" else real(name)
    )

    findings = found_in(project)

    assert findings["GPU"].found == "NVIDIA H100 (79 GiB free), through nvml"
    assert ("torch for the GPU" in findings) == (build == "+cpu")


def test_a_bus_that_nobody_listens_on_is_named(project, tmp_path, monkeypatch):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/none")

    notices = found_in(project)["desktop notices"]

    assert notices.missing
    assert "No such file" in notices.found


def test_push_addresses_are_counted_and_not_shown(project, tmp_path, monkeypatch):
    config = tmp_path / "config.toml"
    monkeypatch.setenv(PATH_VARIABLE, str(config))
    nothing = found_in(project)["push notices"]
    config.write_text('[notify]\npush = ["ntfys://ntfy.sh/secret", "json://localhost/t0ken"]\n')
    config.chmod(0o600)

    two = found_in(project)["push notices"]

    assert (nothing.missing, nothing.found) == (True, "no address to push to")
    assert str(config) in nothing.remedy
    assert (two.missing, two.found) == (False, f"2 addresses in {config}")
    config.chmod(0o644)
    assert "; others may read" in found_in(project)["push notices"].found


def test_a_config_that_is_not_valid_is_missing_and_not_essential(project, tmp_path, monkeypatch):
    config = tmp_path / "config.toml"
    monkeypatch.setenv(PATH_VARIABLE, str(config))
    config.write_text("[notify]\npusch = []\ndesktop = 3\n")

    notices = found_in(project)["push notices"]

    assert notices.missing
    assert not notices.essential
    assert notices.found == (
        f"{config}, line 2: pusch is no key that is known in [notify]; did you mean push?; "
        f"{config}, line 3: desktop must be true or false"
    )


@pytest.mark.system
@pytest.mark.skipif(not shutil.which("dbus-daemon"), reason="needs dbus-daemon")
def test_a_desktop_without_a_notification_daemon_is_named(project, monkeypatch):
    # A socket's path may have 107 bytes, so it lies in a folder with a short name.
    with tempfile.TemporaryDirectory(prefix="rlmaster-test-", dir="/tmp") as folder:
        config = Path(folder, "bus.conf")
        config.write_text(
            "<busconfig><type>session</type>"
            f"<listen>unix:path={folder}/bus</listen>"
            '<policy context="default"><allow send_destination="*" eavesdrop="true"/>'
            '<allow eavesdrop="true"/><allow own="*"/></policy></busconfig>'
        )
        with subprocess.Popen(["dbus-daemon", "--nofork", f"--config-file={config}"]) as daemon:
            wait_until(Path(folder, "bus").exists)
            monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={folder}/bus")
            notices = found_in(project)["desktop notices"]
            daemon.terminate()

    assert notices.missing
    assert notices.found.startswith("no notification daemon answers")
    assert "dunst" in notices.remedy
