"""A person with a laptop and other computers, from hosts.toml to what lies in runs/ at the end."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import quick_training
from elsewhere import DETECTED_S, arrives, end, happen, watchers
from lab import Lab, LabHost
from launches import GIVEN, LAUNCH, await_end, launched, made, make_ready, there
from project_command import RATIONALE
from waiting import wait_until

from rlmaster.fleet.owed import is_owed
from rlmaster.hosts.reachability import unreachable_since
from rlmaster.run_folder import RunFolder, list_runs
from rlmaster.run_status import FINAL_STATES, State

pytestmark = pytest.mark.system

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
GPU = "gpu GPU-1 0 600000000 80000000000 NVIDIA A100\n"
SOMEBODY_ELSES = "process 4194304 9000000000\n"  # a number above every process id that Linux gives
CUT_S = 10


@pytest.fixture
def office(lab: Lab, rlmaster) -> LabHost:
    """A host that the project may use, with a training that ends when it is told to."""
    host = lab.add_host("office")
    make_ready(rlmaster, lab, "cpu_slots = 1")
    return host


def uptime_s(host: LabHost) -> float:
    """Return how long a host has been up, by its own clock."""
    return float(host.execute(["cat", "/proc/uptime"]).stdout.split()[0])


def events(run: RunFolder, part: str) -> list[str]:
    """Return the lines of a run's events that say something."""
    return [line for line in run.training_events.read_text().splitlines() if part in line]


def test_a_run_goes_to_the_best_of_four_hosts_and_is_followed_live(lab: Lab, rlmaster):
    lab.add_host("taken", gpus=GPU + SOMEBODY_ELSES)
    lab.add_host("free", gpus=GPU)
    lab.add_hosts("plain", "dead")
    lab.write_inventory(rlmaster.project)
    lab.hosts["dead"].power_off()

    answer = rlmaster.scratch / "answer"
    needs_gpu = ("--set", "requires.gpu=true")
    following = rlmaster.start(
        *("-m", "rlmaster", "launch", "tiny", "--rationale", RATIONALE, *needs_gpu),
        *("--host", "auto", "--yes", "--follow", "--json"),
        output=answer,
    )
    (run,) = wait_until(lambda: list_runs(rlmaster.project / "runs"), 60)
    wait_until(run.preview_files, 60)
    is_live = run.status().state is State.RUNNING
    assert following.wait(90) == 0

    assert is_live  # a picture was here before the run had ended
    placement = run.placement()
    assert placement is not None
    assert placement.host == "free"
    assert run.status().state is State.COMPLETED
    assert json.loads(answer.read_text())["run_folder"] == str(run.path)
    assert run.progress().result["metric"]
    assert run.video_files()
    assert run.find_checkpoint("best")
    assert run.report_tex.exists()
    ranking = {row["host"]: row for row in run.host_choice()["ranking"]}
    assert {name for name, row in ranking.items() if row["fits"]} == {"free"}
    assert "GPU in use" in ranking["taken"]["reason"]
    assert "unreachable since" in ranking["dead"]["reason"]


def test_an_embedder_of_ones_own_is_trained_elsewhere_and_comes_back(lab: Lab, rlmaster):
    lab.add_host("office")
    lab.write_inventory(rlmaster.project)
    for name in ("linear_embedder.py", "linear_specification.py", "pong_linear.py"):
        shutil.copy(EXPERIMENTS / name, rlmaster.project / "experiments")

    short = ("frames.steps=1000", "training.updates=20", "training.evaluations=3")
    settings = [part for setting in short for part in ("--set", setting)]
    host = ("--rationale", RATIONALE, "--host", "office")
    run = made(rlmaster, "launch", "pong_linear", *host, *settings)
    wait_until(lambda: run.status().state in FINAL_STATES and not is_owed(run), 120)

    assert run.status().state is State.COMPLETED, run.status().reason
    assert "Linear" in run.report_tex.read_text()
    assert run.preview_files()
    (rlmaster.project / "experiments" / "linear_embedder.py").unlink()  # its code came along
    load = "import rlmaster; run = rlmaster.load_run('last');"
    own = "assert type(run.embedder('best')).__name__ == 'LinearEmbedder'"
    rebuilt = rlmaster.python("-c", f"{load} {own}")
    assert rebuilt.returncode == 0, rebuilt.stderr
    newest = rlmaster.python("-c", f"{load} run.embedder()")
    pulling = f"there are: best; `rlmaster pull --all {run.short_id}` brings what is on office"
    assert pulling in newest.stderr
    frames = rlmaster.python("-c", f"{load} run.replay()")
    assert f"`rlmaster pull --replay {run.short_id}` brings what is on office" in frames.stderr
    assert rlmaster("pull", "--replay", run.short_id).returncode == 0
    assert rlmaster.python("-c", f"{load} assert run.replay().num_frames > 0").returncode == 0


def test_a_run_waits_until_somebody_else_has_left_the_gpu(lab: Lab, rlmaster):
    office = lab.add_host("office", gpus=GPU + SOMEBODY_ELSES)
    make_ready(rlmaster, lab)

    run = launched(rlmaster)
    assert run.status().state is State.QUEUED
    queue = json.loads(rlmaster("queue", "--host", "office", "--json").stdout)
    assert run.id in json.dumps(queue)
    office.gpus(GPU)

    wait_until(lambda: run.status().state is State.RUNNING, 60)
    assert quick_training.words(there(office, run))["CUDA_VISIBLE_DEVICES"] == "GPU-1"


def test_a_laptop_that_is_closed_finds_all_of_it_the_next_morning(
    office: LabHost, rlmaster, receiver
):
    config = rlmaster.scratch / "config.toml"
    config.write_text(f'[notify]\ndesktop = false\npush = ["{receiver.json}"]\n')
    rlmaster.environment.update(RLMASTER_CONFIG=str(config), NO_PROXY="127.0.0.1")
    run = launched(rlmaster)
    guest = there(office, run)
    arrives(guest, run, "in the evening")

    office.link(up=False)
    for process in watchers(rlmaster):
        os.kill(process, signal.SIGKILL)
    happen(guest, "in the night")
    (guest.path / "videos").mkdir()
    (guest.path / "videos" / "held_out.mp4").write_bytes(b"moving pictures")
    quick_training.end(guest)
    wait_until(lambda: guest.status().state in FINAL_STATES)
    assert run.status().state is State.RUNNING
    office.link(up=True)

    assert rlmaster("runs").returncode == 0
    wait_until(lambda: not is_owed(run), 60)
    assert run.status() == guest.status()
    assert run.status().state is State.COMPLETED
    assert events(run, "in the night")
    assert (run.path / "videos" / "held_out.mp4").read_bytes() == b"moving pictures"
    assert run.report_tex.exists()
    assert receiver.titles() == [f"tiny-pong {run.short_id}: finished"]
    wait_until(lambda: not watchers(rlmaster))


def test_ten_seconds_without_a_packet_cost_nothing(office: LabHost, rlmaster):
    run = launched(rlmaster)
    guest = there(office, run)
    arrives(guest, run, "before")

    cut = uptime_s(office)
    office.drop_packets(True)
    happen(guest, "meanwhile")
    wait_until(lambda: uptime_s(office) > cut + CUT_S)
    assert not events(run, "meanwhile")
    office.drop_packets(False)

    wait_until(lambda: events(run, "meanwhile"), DETECTED_S)
    arrives(guest, run, "after")
    wait_until(lambda: unreachable_since(rlmaster.project / "runs", "office") is None)
    assert run.training_events.read_bytes() == guest.training_events.read_bytes()
    assert quick_training.times_started(guest) == 1
    end(guest, run)


def test_a_run_goes_on_by_itself_after_a_reboot_where_its_experiment_says_so(
    office: LabHost, rlmaster
):
    run = launched(rlmaster, "--set", "on_lost=resume")
    guest = there(office, run)
    arrives(guest, run, "before")

    office.reboot()

    wait_until(lambda: (run.status().attempt, run.status().state) == (2, State.RUNNING), 90)
    again = there(office, run)  # seen through the new start of the host
    wait_until(lambda: quick_training.times_started(again) == 2)
    assert "restarted" in run.attempts()[0]["reason"]
    arrives(again, run, "after")
    end(again, run)
    assert run.status().attempt == 2


def test_nothing_is_launched_on_a_host_with_another_key(lab: Lab, office: LabHost, rlmaster):
    office.rotate_key()

    done = rlmaster(*LAUNCH)

    assert done.returncode != 0
    assert f"{lab.known_hosts} -R " in done.stderr
    assert "Traceback" not in done.stderr
    assert list_runs(rlmaster.project / "runs") == []
    assert not (office.home / "rlmaster-workspace").exists()


def test_words_of_a_person_are_the_same_on_both_computers(office: LabHost, rlmaster):
    why = '-rf "it\'s" `id`; $(touch ~/pwned)\n--host \x1b[31mred\x1b[0m ${HOME} 100 % & ünï'

    done = rlmaster("launch", "tiny", f"--rationale={why}", "--host", "office", *GIVEN)

    assert done.returncode == 0, done.stderr
    run = RunFolder(rlmaster.project / json.loads(done.stdout)["run_folder"])
    assert there(office, run).rationale() == run.rationale()
    stopped = rlmaster("stop", run.short_id)
    assert stopped.returncode == 0, stopped.stderr
    await_end(run)
    assert rlmaster("conclude", run.short_id, f"--text={why}").returncode == 0
    assert not list(office.home.rglob("pwned"))
