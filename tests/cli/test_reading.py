import json
import re
import shutil
import signal
from pathlib import Path

import pytest
from waiting import wait_until

from rlmaster.reports.summary import result_sentence
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State, Status


@pytest.fixture
def with_run(finished_run, project) -> RunFolder:
    """A copy of the finished run in the test's own project."""
    copy = project / "runs" / "tiny-pong" / finished_run.folder.id
    shutil.copytree(finished_run.folder.path, copy)
    return RunFolder(copy)


def test_experiments_are_described_and_a_broken_one_spoils_nothing(command, project):
    broken = {
        "a_syntax.py": "x = (\n",
        "b_exits.py": "raise SystemExit(3)\n",
        "c_prints.py": "print('noise')\n",
        "d_fields.py": "from rlmaster import Atari\nAtari(game='Pnog')\n",
    }
    for name, text in broken.items():
        (project / "experiments" / name).write_text(text)

    outcome = command("experiments", "--json")

    rows = {Path(row["file"]).name: row for row in json.loads(outcome.out)["experiments"]}
    assert outcome.code == 0
    assert set(rows) == {*broken, "tiny.py"}
    assert all(rows[name]["error"] and rows[name]["experiment"] is None for name in broken)
    good = rows["tiny.py"]
    assert set(good) == set(rows["a_syntax.py"])
    assert (good["name"], good["error"]) == ("tiny-pong", None)
    assert good["title"] == "Pong: a tiny autoencoder."
    assert good["description"].endswith("within seconds.\n")
    assert good["experiment"]["training"]["updates"] == 20
    assert "training.updates" in good["differs_from_default"]


def test_experiments_are_one_line_each_for_a_person(command, project):
    (project / "experiments" / "broken.py").write_text("x = (\n")

    outcome = command("experiments")

    assert outcome.out.splitlines() == [
        "broken: broken.py, line 1: '(' was never closed in `x = (`",
        "tiny: Pong: a tiny autoencoder.",
    ]
    assert outcome.err.splitlines() == ["reading broken.py", "reading tiny.py"]


def test_hosts_are_measured(command):
    (host,) = json.loads(command("hosts", "--json").out)["hosts"]

    assert (host["name"], host["fits"]) == ("local", True)
    assert host["reason"]
    assert host["probe"]["cores"] >= 1
    assert command("hosts").out.startswith("local: ")


def test_a_drained_queue_is_said_of_its_computer(command, own_locks):
    command("queue", "drain")

    assert "drained: nothing is started until `rlmaster queue open`" in command("hosts").out


def test_a_report_is_made_again(command, with_run):
    shutil.rmtree(with_run.report)
    shutil.rmtree(with_run.plots, ignore_errors=True)

    outcome = command("report", with_run.short_id, "--json")

    answer = json.loads(outcome.out)
    assert outcome.code == 0
    assert set(answer) == {"tex", "pdf", "note"}
    assert outcome.err == "making the report\n"
    assert Path(answer["tex"]).is_file()
    assert answer["pdf"] is None or Path(answer["pdf"]).is_file()
    assert with_run.status().state is State.COMPLETED


def test_a_report_that_cannot_be_made_is_a_failure(command, with_run):
    shutil.rmtree(with_run.report)
    with_run.report.symlink_to(with_run.path.parent)

    outcome = command("report", with_run.short_id)

    assert outcome.code == 1
    assert "leads out of the run folder" in outcome.err


def test_following_a_run_that_has_ended_sums_it_up(command, with_run, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")  # without TeX, for the time it takes

    outcome = command("follow", "last")

    assert (outcome.code, outcome.out) == (0, "")
    assert "finished at 20: training finished" in outcome.err
    assert result_sentence(with_run.progress()) in outcome.err.splitlines()
    assert str(with_run.path) in outcome.err


def test_following_a_run_that_failed_shows_the_end_of_its_log(command, with_run, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with_run.write_status(Status(State.FAILED, attempt=1, reason="the disk is full"))
    lines = [f"line {number} \x1b[31m" for number in range(40)]
    with_run.log_file.write_text("\n".join(lines))

    outcome = command("follow", str(with_run.path))

    assert outcome.code == 1
    assert "the run failed: the disk is full" in outcome.err
    shown = [line for line in outcome.err.splitlines() if line.startswith("  | ")]
    assert shown == [f"  | line {number} " for number in range(25, 40)]


def test_following_quietly_says_nothing_before_the_end(command, with_run, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")

    outcome = command("follow", "last", "--quiet")

    assert outcome.code == 0
    assert outcome.err.startswith(result_sentence(with_run.progress()))


@pytest.mark.parametrize("which", ["follow", "report"])
def test_a_run_that_is_not_there_is_one_sentence(command, with_run, which):
    outcome = command(which, "zzz")

    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"no run is called 'zzz'; the newest is {with_run.short_id}\n"


def test_frames_writes_a_picture_of_a_game(rlmaster):
    done = rlmaster("frames", "Breakout", "--out", "strip.png", "--steps", "9", "--count", "2")

    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("strip.png\n", "playing breakout\n")
    assert (rlmaster.project / "strip.png").read_bytes().startswith(b"\x89PNG")


def test_frames_of_an_unknown_game_are_refused_with_near_matches(rlmaster):
    done = rlmaster("frames", "Pnog", "--out", "strip.png")

    assert done.returncode == 2
    assert "did you mean pong?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_games_there_are_can_be_listed(command):
    outcome = command("frames", "--list")

    assert outcome.code == 0
    assert "ms_pacman" in outcome.out.split()


def test_the_options_of_frames_are_explained(rlmaster):
    done = rlmaster("frames", "--help")

    assert done.returncode == 0
    assert "--out" in done.stdout


def _catches(process: int, number: int) -> bool:
    """Tell from the kernel's own table whether a process has a handler for a signal."""
    status = Path(f"/proc/{process}/status").read_text()
    return bool(int(re.search(r"SigCgt:\s*([0-9a-f]+)", status)[1], 16) >> (number - 1) & 1)


def test_a_closed_window_leaves_somebody_to_follow(rlmaster):
    run = RunFolder.create(
        rlmaster.project / "runs",
        config={"name": "waiting"},
        rationale="to be followed",
        provenance={},
        digests={},
        differs_from_default=[],
    )
    run.write_status(Status(State.RUNNING, host="somewhere-else"))
    usual = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where tests run under nohup
    watching = rlmaster.start("-m", "rlmaster", "follow", str(run.path))
    signal.signal(signal.SIGHUP, usual)
    wait_until(lambda: _catches(watching.pid, signal.SIGHUP))

    watching.send_signal(signal.SIGHUP)

    assert watching.wait(30) == 130
    wait_until(lambda: len(rlmaster.processes("--quiet")) == 1)
