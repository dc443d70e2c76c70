"""Mirroring and pulling from a real host over SSH, whose link is cut and whose sshd is killed."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import Lab, LabHost
from made_runs import make_run
from piped_host import place
from project_command import Rlmaster
from waiting import wait_until

from rlmaster.errors import HostError
from rlmaster.fleet import pull as pull_module
from rlmaster.fleet.mirror import HostMirror
from rlmaster.fleet.pull import PullProgress, pull
from rlmaster.fleet.run_files import Selection
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.remote import RemoteHost
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State, Status

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("own_locks")]

noise = random.Random(1).randbytes


@pytest.fixture
def office(lab: Lab) -> LabHost:
    """A host."""
    return lab.add_host("office")


def made_on(office: LabHost, runs: Path) -> tuple[RunFolder, RunFolder]:
    """Make a run that is made on a host, and return it and its folder there."""
    runs.mkdir(parents=True, exist_ok=True)
    run = make_run(runs)
    place(run, folder := Path("/root/workspace/runs", run.name, run.id))
    there = RunFolder(office.inside(folder))
    there.path.mkdir(parents=True)
    return run, there


@contextmanager
def mirroring(run: RunFolder) -> Iterator[HostMirror]:
    """Connect to the host and mirror a run."""
    with RemoteHost.connect(Host("office", kind="ssh")) as remote:
        mirror = HostMirror(remote, run.path.parents[1])
        mirror.track(run)
        yield mirror


def test_a_run_is_mirrored_over_ssh_and_goes_on_after_the_link_was_cut(office, tmp_path):
    run, there = made_on(office, tmp_path / "runs")
    there.log_file.write_bytes(noise(3_000_000))
    with mirroring(run) as mirror:
        wait_until(lambda: mirror.step(0.2) and is_same(run.log_file, there.log_file))
        office.drop_packets(True)
        with there.log_file.open("ab") as log:
            log.write(b"written meanwhile\n")
        with pytest.raises(HostError):
            wait_until(lambda: mirror.step(1.0) and False, 40)
        office.drop_packets(False)
    there.write_status(Status(State.COMPLETED))
    with mirroring(run) as mirror:
        wait_until(lambda: any(change.ended for change in mirror.step(0.2)))
        assert mirror.received_bytes < 3_000
    assert is_same(run.log_file, there.log_file)


def is_same(here: Path, there: Path) -> bool:
    """Tell whether two files hold the same."""
    return here.exists() and here.read_bytes() == there.read_bytes()


def test_the_streaming_program_ends_with_its_connection_however_that_ends(office, tmp_path):
    run, _ = made_on(office, tmp_path / "runs")
    for end in (lambda: None, office.kill_sshd):
        with mirroring(run) as mirror:
            mirror.step(1.0)
            assert office.processes("python3 -I -c")
            end()
        wait_until(lambda: not office.processes("python3 -I -c"))


def test_a_pull_goes_on_after_the_link_was_cut(office, tmp_path, monkeypatch):
    run, there = made_on(office, tmp_path / "runs")
    there.videos.mkdir()
    (there.videos / "a.mp4").write_bytes(content := noise(30_000_000))
    monkeypatch.setattr(pull_module, "PROGRESS_EVERY_S", 0.0)

    def cut(progress: PullProgress) -> None:
        if progress.done_bytes > 10_000_000:
            office.drop_packets(True)

    with RemoteHost.connect(Host("office", kind="ssh")) as remote, pytest.raises(HostError):
        pull(remote, run, Selection.END, cut)
    office.drop_packets(False)
    kept = (run.videos / ".a.mp4.partial").stat().st_size
    assert kept > 10_000_000
    with RemoteHost.connect(Host("office", kind="ssh")) as remote:
        pulled = pull(remote, run, Selection.END)
    assert pulled.fetched_bytes == len(content) - kept
    assert (run.videos / "a.mp4").read_bytes() == content


# ------------------------------------------------------------------------------- `rlmaster pull`


@pytest.fixture
def pulled_run(lab: Lab, office: LabHost, rlmaster: Rlmaster) -> tuple[RunFolder, RunFolder]:
    """A run of the project that is made on a host, and has left something there."""
    lab.write_inventory(rlmaster.project)
    run, there = made_on(office, rlmaster.project / "runs")
    for path in ("videos/held_out.mp4", "replay/chunk-000000.npz", "log.txt"):
        (there.path / path).parent.mkdir(exist_ok=True)
        (there.path / path).write_bytes(noise(1_000))
    return run, there


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["videos/held_out.mp4"]),
        (["--replay"], ["replay/chunk-000000.npz"]),
        (["--all"], ["log.txt", "replay/chunk-000000.npz", "videos/held_out.mp4"]),
    ],
)
def test_the_command_brings_what_is_asked_for(rlmaster, pulled_run, options, expected):
    run, there = pulled_run
    done = rlmaster("pull", run.short_id, "--json", *options)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["run_id"], answer["host"]) == (run.id, "office")
    assert sorted(answer["fetched"]) == expected
    assert answer["fetched_bytes"] == 1_000 * len(expected)
    for path in expected:
        assert is_same(run.path / path, there.path / path)
    assert f"{len(expected)} files came from office" in done.stderr
    done = rlmaster("pull", run.short_id, *options)
    assert f"0 files came from office (0 B), {len(expected)} were here already" in done.stderr
    assert done.stdout.strip() == str(run.path)


def test_a_host_that_does_not_answer_is_one_sentence(rlmaster, office, pulled_run):
    run, _ = pulled_run
    office.kill_sshd()
    done = rlmaster("pull", run.short_id)
    assert done.returncode == 3
    assert "office" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_what_cannot_be_pulled_is_said_before_anything_is_connected(rlmaster, pulled_run):
    run, _ = pulled_run
    assert "--all brings the frames too" in rlmaster("pull", "last", "--all", "--replay").stderr
    run.placement_file.unlink()
    done = rlmaster("pull", run.short_id)
    assert done.returncode == 1
    assert f"run {run.short_id} is made here" in done.stderr
    place(run, Path("/root/x/y/z"), host="nobody")
    done = rlmaster("pull", run.short_id)
    assert done.returncode == 2
    assert "there is no host 'nobody'" in done.stderr
