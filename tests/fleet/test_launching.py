"""Launching on another computer, with a training that ends when it is told to."""

import json
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import quick_training
from kept_checkpoints import make_trained_run
from launches import GIVEN, LAUNCH, WORKSPACE, launched, make_ready, runs_there, there
from project_command import Rlmaster, make_project, rlmaster_in
from waiting import wait_until

from rlmaster.errors import HostError
from rlmaster.fleet.owed import is_owed
from rlmaster.fleet.session import HostSession
from rlmaster.fleet.shipping import hand_over
from rlmaster.hosts.inventory import Host
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder, list_runs
from rlmaster.run_status import State

pytestmark = pytest.mark.system
KILLED_COMMAND = Path(__file__).parent / "killed_command.py"


def test_a_run_trains_on_the_host_with_the_code_of_its_launch(rlmaster, office):
    done = rlmaster(*LAUNCH)

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["host"], answer["state"], answer["attempt"]) == ("office", "running", 1)
    run = RunFolder(Path(answer["run_folder"]))
    guest = there(office, run)
    given = quick_training.words(guest)
    environment = office.inside(f"/proc/{given['pid']}/environ").read_bytes().decode().split("\0")
    code = f"{WORKSPACE}/runs/.snapshots/{run.provenance()['snapshot']['digest']}"
    (paths,) = (entry for entry in environment if entry.startswith("PYTHONPATH="))
    assert set(paths.partition("=")[2].split(":")) <= {code, f"{code}/experiments"}
    assert not any(entry.startswith("SSH_") for entry in environment)
    said = done.stderr.splitlines()
    assert any(line.startswith("RLmaster itself shipped to office: ") for line in said)
    assert any(line.startswith("code shipped to office: ") for line in said)
    assert "the worker runs on office" in said
    assert any(line.startswith("ssh -t office 'tmux ") for line in said)


def test_what_was_decided_is_kept_here_and_there(rlmaster, office):
    run = launched(rlmaster)

    guest, placement = there(office, run), run.placement()
    assert placement == guest.placement()
    assert (placement.host, placement.kind, placement.computer) == ("office", "ssh", "office")
    assert placement.folder == f"{WORKSPACE}/runs/{run.name}/{run.id}"
    choice = run.host_choice()
    assert (choice["host"], choice["kind"]) == ("office", "ssh")
    assert (choice["computer"], choice["python"]) == ("office", placement.python)
    assert choice["threads"] == placement.threads
    assert quick_training.words(guest)["OMP_NUM_THREADS"] == str(placement.threads)
    for name in ("run.json", "config.json", "rationale.md", "provenance.json"):
        assert (run.path / name).read_bytes() == (guest.path / name).read_bytes()


def test_the_second_launch_ships_nothing_but_its_run_folder(rlmaster, office):
    quick_training.end(there(office, launched(rlmaster)))

    done = rlmaster("launch", "tiny", "--rationale", "again", "--host", "office", *GIVEN)

    assert "the code is on office already" in done.stderr
    assert "RLmaster itself" not in done.stderr
    snapshots = office.inside(f"{WORKSPACE}/runs/.snapshots")
    assert len(list(snapshots.iterdir())) == 2  # of the project, and RLmaster itself


def test_the_workspace_is_private_and_a_project_with_the_same_rules(rlmaster, office, lab):
    lab.write_inventory(rlmaster.project, settings="cpu_slots = 3")

    launched(rlmaster)

    workspace = office.inside(WORKSPACE)
    assert workspace.stat().st_mode & 0o777 == 0o700
    assert "cpu_slots = 3" in (workspace / "hosts.toml").read_text()
    queue = next((office.home / ".local/state/rlmaster/queue").glob("office*"))
    assert json.loads((queue / "slots.json").read_text()) == {"cpu_slots": 3, "slots_per_gpu": 1}


def test_a_hosts_toml_that_a_person_wrote_there_stays(rlmaster, office):
    office.inside("/root").joinpath("rlmaster-workspace").mkdir()
    own = office.inside(WORKSPACE) / "hosts.toml"
    own.write_text("# mine\n")

    launched(rlmaster)

    assert own.read_text() == "# mine\n"


def test_a_run_without_a_free_slot_waits_and_says_so(rlmaster, office, lab):
    lab.write_inventory(rlmaster.project, settings="cpu_slots = 1")
    first = launched(rlmaster)

    done = rlmaster("launch", "tiny", "--rationale", "second", "--host", "office", *GIVEN)

    assert json.loads(done.stdout)["state"] == "queued"
    assert (
        "it waits for a slot, and starts by itself. `rlmaster queue --host office`" in done.stderr
    )
    quick_training.end(there(office, first))
    second = RunFolder(Path(json.loads(done.stdout)["run_folder"]))
    wait_until(lambda: quick_training.is_training(there(office, second)))


def test_hostile_words_reach_no_shell(rlmaster, office, lab):
    why = """-rf "'; touch /root/pwned $(touch /root/pwned) `touch /root/pwned`\n--help\n\u202e"""
    lab.write_inventory(rlmaster.project, settings="workspace = \"~/a 'b' $(touch pwned);\"")
    script = rlmaster.project / "experiments" / "tiny.py"
    script.rename(script.with_name("; touch pwned $(touch pwned) 'y'.py"))

    done = rlmaster(
        "launch",
        "experiments/; touch pwned $(touch pwned) 'y'.py",
        *(f"--rationale={why}", "--host", "office", *GIVEN),
    )

    assert done.returncode == 0, done.stderr
    run = RunFolder(Path(json.loads(done.stdout)["run_folder"]))
    guest = there(office, run)
    assert guest.rationale() == run.rationale()
    assert str(run.placement().folder).startswith("/root/a 'b' $(touch pwned);/runs/")
    wait_until(lambda: quick_training.is_training(guest))
    assert not list(office.home.rglob("*pwned"))


# ------------------------------------------------------------------------------------- faults

MOMENTS = {
    "before the code is kept": ("rlmaster.launcher:take_snapshot", 1),
    "before it is owed": ("rlmaster.fleet.destination:owe", 1),
    "before its place is written": ("rlmaster.run_folder:RunFolder.write_placement", 1),
    "before it is a run": ("rlmaster.run_folder:RunFolder.fill", 1),
    "before anything is handed over": ("rlmaster.fleet.destination:hand_over", 1),
    "before RLmaster is sent": ("rlmaster.fleet.placing:Placing.place", 1),
    "before the code is sent": ("rlmaster.fleet.placing:Placing.place", 2),
    "while the code is sent": ("rlmaster.fleet.placing:_packed", 30),
    "before the run folder is sent": ("rlmaster.fleet.placing:Placing.place", 3),
    "before the run is begun with": ("rlmaster.hosts.remote:RemoteHost.rlmaster", 1),
    "before that is known here": ("rlmaster.fleet.shipping:status_in", 1),
    "before its status is written": ("rlmaster.run_folder:RunFolder.write_status", 1),
    "before somebody follows": ("rlmaster.fleet.destination:wake_watcher", 1),
}
NO_RUN_YET = 4


@pytest.mark.parametrize("when", MOMENTS)
def test_a_launch_that_is_killed_at_any_moment_comes_to_one_run(rlmaster, office, when):
    moment, count = MOMENTS[when]

    killed = rlmaster.python(str(KILLED_COMMAND), moment, str(count), *LAUNCH)

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    made = list_runs(rlmaster.project / "runs")
    assert len(made) == (list(MOMENTS).index(when) >= NO_RUN_YET)
    assert all(map(is_owed, made))
    assert rlmaster("runs").returncode == 0
    if not made:
        assert runs_there(office) == []
        return
    (run,) = made
    wait_until(lambda: run.status().state is State.RUNNING, 60)
    guest = there(office, run)
    wait_until(lambda: quick_training.is_training(guest))
    assert [found.path for found in runs_there(office)] == [guest.path]
    assert quick_training.times_started(guest) == 1


def test_a_launch_that_is_killed_while_the_host_begins_comes_to_one_run(rlmaster, office):
    process = rlmaster.start("-m", "rlmaster", *LAUNCH)
    wait_until(lambda: office.processes("rlmaster adopt"), 60)
    process.kill()

    assert rlmaster("runs").returncode == 0
    (run,) = list_runs(rlmaster.project / "runs")
    wait_until(lambda: run.status().state is State.RUNNING, 60)
    wait_until(lambda: quick_training.is_training(there(office, run)))
    assert quick_training.times_started(there(office, run)) == 1
    assert len(runs_there(office)) == 1


def test_a_link_that_is_cut_on_the_way_delays_the_run_and_no_more(rlmaster, office):
    process = subprocess.Popen(
        rlmaster.command(*LAUNCH),
        cwd=rlmaster.project,
        env=rlmaster.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while not re.match(r"run \w{6} is in ", process.stderr.readline()):
        pass
    office.drop_packets(True)
    _, said = process.communicate(timeout=90)

    assert process.returncode == 3, said
    assert "is kept, and goes to office by itself as soon as that is possible" in said
    (run,) = list_runs(rlmaster.project / "runs")
    assert run.status().state is State.PREPARED
    office.drop_packets(False)
    wait_until(lambda: run.status().state is State.RUNNING, 90)
    assert quick_training.times_started(there(office, run)) == 1
    assert len(runs_there(office)) == 1


def test_a_full_disk_there_makes_nothing_or_keeps_what_is_made(rlmaster, office):
    office.small_disk(WORKSPACE, 4)
    office.fill(WORKSPACE)
    command = (*LAUNCH, "--set", "requires.disk_gb=0")  # else the host does not fit, which is said

    full = rlmaster(*command)
    office.free(WORKSPACE)
    (office.inside(WORKSPACE) / "filling").write_bytes(bytes(2_500_000))
    nearly_full = rlmaster(*command)

    assert full.returncode == 3
    assert nearly_full.returncode == 3
    assert f"the workspace {WORKSPACE} cannot be used: No space left on device" in full.stderr
    assert "No space left on device; free some space" in nearly_full.stderr
    assert "is kept, and goes to office by itself" in nearly_full.stderr
    assert len(list_runs(rlmaster.project / "runs")) == 1
    assert runs_there(office) == []


def test_a_host_without_an_environment_is_said_before_anything_is_made(rlmaster, office):
    (rlmaster.project / "hosts.toml").write_text('[hosts.office]\nkind = "ssh"\n')

    done = rlmaster(*LAUNCH)

    assert done.returncode == 3
    assert "`rlmaster hosts setup office`" in done.stderr
    assert list_runs(rlmaster.project / "runs") == []


# ------------------------------------------------------------------------- several controllers


def at_once(*rlmasters: Rlmaster, host: str = "office") -> list[RunFolder]:
    """Launch from several places at the same moment, and return the runs' folders."""
    with ThreadPoolExecutor(len(rlmasters)) as pool:
        return list(pool.map(lambda rlmaster: launched(rlmaster, host=host), rlmasters))


@pytest.mark.usefixtures("namespaces")
def test_two_launches_at_once_come_to_two_runs(rlmaster, office):
    runs = at_once(rlmaster, rlmaster)

    for run in runs:
        wait_until(lambda run=run: quick_training.is_training(there(office, run)))
        assert quick_training.times_started(there(office, run)) == 1
    assert {run.id for run in runs_there(office)} == {run.id for run in runs}
    assert not list(office.inside(WORKSPACE).rglob(".incoming-*"))


def test_two_projects_share_the_slots_of_a_host(rlmaster, office, lab, tmp_path):
    lab.write_inventory(rlmaster.project, settings="cpu_slots = 1")
    with rlmaster_in(make_project(tmp_path / "other")) as other:
        other.environment.update(lab.environment)
        make_ready(other, lab, "cpu_slots = 1")
        runs = at_once(rlmaster, other)

        guests = [there(office, run) for run in runs]
        wait_until(lambda: any(map(quick_training.is_training, guests)))
        guests.sort(key=quick_training.is_training)
        waiting, training = guests
        assert waiting.status().state is State.QUEUED
        quick_training.end(training)
        wait_until(lambda: quick_training.is_training(waiting))
        assert [quick_training.times_started(guest) for guest in guests] == [1, 1]


def test_hosts_that_share_a_home_share_a_workspace_and_no_queue(rlmaster, lab):
    hosts = lab.add_hosts("office", "attic", shared_home=True)
    make_ready(rlmaster, lab, "cpu_slots = 1")

    runs = [launched(rlmaster, host=host.name) for host in hosts]

    for host, run in zip(hosts, runs, strict=True):
        guest = there(host, run)
        quick_training.words(guest)
        assert guest.status().host == host.name
        assert quick_training.times_started(guest) == 1
    assert {run.id for run in runs_there(hosts[0])} == {run.id for run in runs}


@pytest.mark.usefixtures("namespaces")
def test_a_workspace_that_is_the_project_itself_is_refused(lab):
    lab.add_host("office")
    with rlmaster_in(make_project(lab.shared / "project")) as rlmaster:
        rlmaster.environment.update(lab.environment)
        make_ready(rlmaster, lab, 'workspace = "/srv/shared/project"')

        done = rlmaster(*LAUNCH)

        assert done.returncode == 3
        assert "the workspace of office is this project itself" in done.stderr
        assert list_runs(rlmaster.project / "runs") == []


def test_a_host_that_is_another_computer_now_is_given_nothing(rlmaster, office, same_environment):
    run = launched(rlmaster)
    placement = replace(run.placement(), machine="another-0123456789ab")
    run.write_placement(placement)
    host = Host("office", kind="ssh", python=placement.python)

    with (
        HostSession.connect(Project(rlmaster.project), host) as session,
        pytest.raises(HostError, match="office is another computer than the one that run"),
    ):
        hand_over(session, run, lambda _text: None)


def test_the_weights_that_an_agent_begins_with_go_to_the_host(rlmaster, office):
    trained = make_trained_run(rlmaster.project / "runs")
    (rlmaster.project / "experiments" / "playing.py").write_text(
        "from rlmaster.agent_choices import DQN\n"
        "from rlmaster.experiment import Atari, EncoderTraining, Experiment\n"
        'weights = EncoderTraining(weights="none of that name")\n'
        'atari = Atari(game="Pong")\n'
        'experiment = Experiment(name="playing", environment=atari, agent=DQN(), encoder=weights)\n'
    )
    launch = ("launch", "playing", "--rationale", "why", "--host", "office", *GIVEN)

    refused = rlmaster(*launch)
    done = rlmaster(*launch, "--set", f"encoder.weights={trained.short_id}")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no run is called 'none of that name'" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert f"it is that of run {trained.short_id}: Autoencoder(latent_dim=64)" in done.stderr
    run = RunFolder(Path(json.loads(done.stdout)["run_folder"]))
    guest, (kept,) = there(office, run), trained.checkpoint_folders()
    sent = {path.name: path.read_bytes() for path in guest.encoder_weights.iterdir()}
    assert sent.keys() == {"manifest.json", "networks.safetensors"}
    assert all(content == (kept / name).read_bytes() for name, content in sent.items())
    assert guest.config()["encoder"]["weights"] == trained.id
    assert guest.encoder_from()["run"] == trained.id
