"""What runs on other computers cost: asking hosts, launching there, and watching them.

    python benchmarks/fleet.py [--times 5] [--only probe launch latency screen watch]

The hosts are those of tests/lab: namespaces of this machine with a real sshd, so the network takes
no time and all share this machine's cores. For root, with what tests/system_packages.sh installs.

* probe: all hosts are asked at once, as `rlmaster hosts` does, each over a new connection.
* launch: from the moment when a person has confirmed the host to the start of training there, on a
  host that has the Python environment: where no code has been before, and where the code is.
* latency: from an event's line on a host to the same line in the local run folder.
* screen: from an event's line on a host to its words in the app, which shows the run and follows
  the host through a watch of its own.
* watch: share of one core that `rlmaster watch` takes while training on all hosts writes progress,
  an event, scalars and a line of its log each second. Its children are counted too.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import quick_training
from _terminal import Terminal
from lab import Lab, LabHost
from lab.namespace_lab import NamespaceLab, namespaces_can_be_made
from project_command import RATIONALE, Rlmaster, make_project, rlmaster_in
from waiting import wait_until

from rlmaster.events import append_event, event
from rlmaster.fleet.owed import owe
from rlmaster.fleet.session import HostSession
from rlmaster.fleet.shipping import placement_on
from rlmaster.hosts.inventory import read_inventory
from rlmaster.hosts.survey import survey
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State

PROBED_HOSTS = (1, 20, 50)
WATCHED_HOSTS, WATCHED_RUNS = 20, 50
LATENCIES = 50
WINDOW_S = 10.0
STARTED = "training started"
STEPS = {
    r"code kept": "host reached, snapshot taken",
    r"run \w+ is in": "run folder made here",
    r"RLmaster itself": "RLmaster shipped",
    r"(the )?code ": "code shipped, or found there",
    r"run folder shipped": "run folder shipped",
    STARTED: "adopted there, training started",
}
"""What a launch says, and the step that has been done by then."""
LAUNCH = """
import json, sys, time
from pathlib import Path
from rlmaster.cli.hosts import choose_host
from rlmaster.experiment_script import describe_script
from rlmaster.launcher import launch
from rlmaster.project import Project

project, said = Project(Path.cwd()), []
description = describe_script(project.root / "experiments" / "tiny.py")
choice = choose_host(project, sys.argv[1])
confirmed = time.time()
note = lambda sentence: said.append((time.time(), sentence))
run = launch(project, description, rationale="to measure", host=choice, say=note)
print(json.dumps({"confirmed": confirmed, "said": said, "run_folder": str(run.path)}))
"""
"""Launches as the command does, in a process that has just asked the host how busy it is."""
TRAINING = '''
"""Holds the locks of runs, and writes for each what training writes, once a second."""
import platform, sys, time
from pathlib import Path
from rlmaster.events import append_event, event
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_lock import RunLock, boot_id
from rlmaster.run_status import State

held = []
for path in sys.argv[1:]:
    run, lock = RunFolder(Path(path)), RunLock(Path(path).name)
    assert lock.take()
    place = {"host": platform.node(), "lock": str(lock.path), "boot_id": boot_id()}
    run.write_status(run.status().enter(State.RUNNING, **place))
    run.tensorboard.mkdir(exist_ok=True)
    held.append((run, lock))
for step in range(10**9):
    for run, _ in held:
        values = {"loss": 1 / (step + 1), "evaluation": 0.5, "updates_per_s": 41.0}
        run.write_progress(Progress("training", step, 10**6, rate_per_s=41.0, values=values))
        append_event(run.training_events, event("note", f"step {step} is done", step))
        with run.log_file.open("a") as log:
            log.write(f"update {step:,} of 1,000,000: loss {1 / (step + 1):.6f}, 41 updates/s\\n")
        with (run.tensorboard / "events.out.tfevents.0").open("ab") as scalars:
            scalars.write(bytes(3 * 60))
    time.sleep(1)
'''
"""Stands in for training, whose own cost would hide that of the watcher on a small machine."""


class Fleet:
    """A project, the command in it, and the lab's hosts that it may use."""

    def __init__(self, lab: Lab, rlmaster: Rlmaster) -> None:
        """Use a lab; this process then sees the project as the command does."""
        rlmaster.environment.update(lab.environment)
        os.environ.update(rlmaster.environment)
        self.lab, self.rlmaster = lab, rlmaster
        self.project = Project(rlmaster.project)

    def add_hosts(self, *names: str) -> list[LabHost]:
        """Add hosts to the lab and to hosts.toml."""
        hosts = self.lab.add_hosts(*names)
        self.lab.write_inventory(self.rlmaster.project, settings="cpu_slots = 100")
        return hosts

    @contextmanager
    def session(self, host: LabHost) -> Iterator[HostSession]:
        """Connect to a host as a launch does."""
        inventory = read_inventory(self.project.hosts_file)
        with HostSession.connect(self.project, inventory.find(host.name)) as session:
            yield session


@contextmanager
def new_fleet() -> Iterator[Fleet]:
    """Give a project with a training that ends when it is told to, and no hosts yet."""
    before = dict(os.environ)
    os.environ.update(RLMASTER_CONFIG=os.devnull, RLMASTER_HOSTS=os.devnull)
    with tempfile.TemporaryDirectory(prefix="rlmaster-", ignore_cleanup_errors=True) as scratch:
        project = make_project(Path(scratch) / "project")
        quick_training.make_quick(project)
        with rlmaster_in(project) as rlmaster, NamespaceLab() as lab:
            yield Fleet(lab, rlmaster)
    os.environ.clear()
    os.environ.update(before)


def print_row(name: str, seconds: Sequence[float], unit_s: float = 1.0) -> None:
    """Print the median of some measurements, the least and the most."""
    scaled = sorted(value / unit_s for value in seconds)
    cells = (statistics.median(scaled), scaled[0], scaled[-1])
    print(f"  {name:<36}" + "".join(f"{cell:10.2f}" for cell in cells))


def print_head(title: str, column: str) -> None:
    """Print what a table shows."""
    print(f"\n{title}\n  {column:<36}{'median':>10}{'least':>10}{'most':>10}")


# ------------------------------------------------------------------------------------- probe


def measure_probe(times: int) -> None:
    """Print how long it takes until every host has answered."""
    print_head("probe: seconds until all have answered", "hosts")
    with new_fleet() as fleet:
        for count in PROBED_HOSTS:
            fleet.add_hosts(*(f"node{n}" for n in range(len(fleet.lab.hosts), count)))
            print_row(str(count), [_survey_s(fleet) for _ in range(times)])


def _survey_s(fleet: Fleet) -> float:
    begun = time.perf_counter()
    answers = list(survey(fleet.project, read_inventory(fleet.project.hosts_file).hosts))
    taken_s = time.perf_counter() - begun
    silent = [answer.host.name for answer in answers if answer.probe is None]
    if silent:
        raise SystemExit(f"no answer from {', '.join(silent)}: {answers[0].unreachable}")
    return taken_s


# ------------------------------------------------------------------------------------ launch


def measure_launch(times: int) -> None:
    """Print how long each step of a launch takes, the first one on a host and a later one."""
    with new_fleet() as fleet:
        hosts = fleet.add_hosts(*(f"node{number}" for number in range(times)))
        for title in ("no code there yet", "the code is there"):
            _print_launches(title, [_launch_steps(fleet, host) for host in hosts])


def _launch_steps(fleet: Fleet, host: LabHost) -> dict[str, float]:
    """Launch a run; return the moment of each step, in seconds since the host was confirmed."""
    done = fleet.rlmaster.python("-c", LAUNCH, host.name)
    if done.returncode:
        raise SystemExit(done.stderr)
    answer = json.loads(done.stdout)
    there = _there(host, RunFolder(Path(answer["run_folder"])))
    starts = there.path / "starts.txt"
    wait_until(starts.exists)
    moments: dict[str, float] = {}
    for moment, sentence in [*answer["said"], (starts.stat().st_mtime, STARTED)]:
        step = next((step for said, step in STEPS.items() if re.match(said, sentence)), None)
        if step:
            moments.setdefault(step, moment - answer["confirmed"])
    quick_training.end(there)
    return moments


def _print_launches(title: str, launches: list[dict[str, float]]) -> None:
    print_head(f"launch, {title}: seconds for each step", "step")
    before = dict.fromkeys(range(len(launches)), 0.0)
    for step in STEPS.values():
        if all(step in moments for moments in launches):
            print_row(step, [moments[step] - before[i] for i, moments in enumerate(launches)])
            before = {i: moments[step] for i, moments in enumerate(launches)}
    print_row("from confirmed to started", [moments[STEPS[STARTED]] for moments in launches])


def _there(host: LabHost, run: RunFolder) -> RunFolder:
    """Return a run's folder on its host, as seen from here."""
    placement = run.placement()
    assert placement is not None
    return RunFolder(host.inside(placement.folder))


# ----------------------------------------------------------------------------------- latency


def measure_latency(times: int) -> None:
    """Print how long an event takes to come here."""
    print_head("latency: milliseconds from an event there to its line here", "events")
    with new_fleet() as fleet:
        (host,) = fleet.add_hosts("office")
        runs = _begin_training(fleet, [host], 1)
        with _watching(fleet, runs):
            there = _there(host, runs[0])
            count = LATENCIES * times // 5
            taken_s = [_event_s(there, runs[0], number) for number in range(count)]
    print_row(f"{count}, one after the other", taken_s, unit_s=1e-3)


def _event_s(there: RunFolder, run: RunFolder, number: int) -> float:
    """Let something happen at a moment that nobody knows; return when it is here."""
    time.sleep(0.137 * (number % 10))
    mark = f"measured {number}".encode()
    append_event(there.worker_events, event("note", mark.decode(), number))
    begun = time.perf_counter()
    while not (run.worker_events.exists() and mark in run.worker_events.read_bytes()):
        time.sleep(0.001)
    return time.perf_counter() - begun


# ------------------------------------------------------------------------------------ screen


def measure_screen(times: int) -> None:
    """Print how long an event takes to be read in the app."""
    print_head("screen: milliseconds from an event there to its words in the app", "events")
    with new_fleet() as fleet:
        (host,) = fleet.add_hosts("office")
        runs = _begin_training(fleet, [host], 1)
        with _app_showing(fleet, runs[0]) as terminal:
            there = _there(host, runs[0])
            count = LATENCIES * times // 5
            taken_s = [_seen_s(there, terminal, number) for number in range(count)]
    print_row(f"{count}, one after the other", taken_s, unit_s=1e-3)


@contextmanager
def _app_showing(fleet: Fleet, run: RunFolder) -> Iterator[Terminal]:
    """Open the app on a run, once that is seen to be trained."""
    with Terminal([sys.executable, "-m", "rlmaster"], fleet.project.root) as terminal:
        terminal.wait_for(run.short_id.encode())
        terminal.send(b"\r")
        terminal.wait_for(b"step 5 is done")
        yield terminal


def _seen_s(there: RunFolder, terminal: Terminal, number: int) -> float:
    """Let something happen at a moment that nobody knows; return when it is seen."""
    time.sleep(0.137 * (number % 10))
    mark = f"measured {number:03}"
    append_event(there.worker_events, event("note", mark, number))
    begun = time.perf_counter()
    return terminal.wait_for(mark.encode()) - begun


# ------------------------------------------------------------------------------------- watch


def measure_watch(times: int) -> None:
    """Print which share of one core the watcher takes."""
    print_head(
        f"watch: percent of one core, {WATCHED_RUNS} live runs on {WATCHED_HOSTS} hosts",
        f"windows of {WINDOW_S:.0f} s",
    )
    with new_fleet() as fleet:
        hosts = fleet.add_hosts(*(f"node{number}" for number in range(WATCHED_HOSTS)))
        runs = _begin_training(fleet, hosts, WATCHED_RUNS)
        with _watching(fleet, runs) as watcher:
            time.sleep(WINDOW_S)  # what the first contact costs is no part of it
            shares = [_share(lambda: _cpu_s(watcher)) for _ in range(times)]
            streams = [pid for host in hosts for pid in host.processes("python3 -I -c")]
            there = _share(lambda: sum(map(_cpu_s, streams)))
            _check_freshness(fleet, runs)
        print_row("rlmaster watch", shares, unit_s=0.01)
        print_row("all that streams on the hosts", [there], unit_s=0.01)


def _begin_training(fleet: Fleet, hosts: Sequence[LabHost], count: int) -> list[RunFolder]:
    """Place runs on hosts, as launches leave them, and let them be trained there."""
    runs: list[RunFolder] = []
    for number, host in enumerate(hosts):
        with fleet.session(host) as session:
            session.ship_tools()
            its_runs = [_placed_run(session, host) for _ in range(number, count, len(hosts))]
        code = next(host.inside(f"{session.runs}/.snapshots").iterdir()).name
        program = f"{session.runs}/.snapshots/{code}"
        places = " ".join(f"'{session.folder_of(run)}'" for run in its_runs)
        command = f"PYTHONPATH={program} setsid {fleet.lab.python} /root/training.py {places}"
        (host.home / "training.py").write_text(TRAINING)
        host.execute(["sh", "-c", f"{command} >/root/training.log 2>&1 &"])
        runs += its_runs
    return runs


def _placed_run(session: HostSession, host: LabHost) -> RunFolder:
    run = RunFolder.create(
        session.project.runs,
        config={"name": "watched"},
        rationale=RATIONALE,
        provenance={},
        digests={},
        differs_from_default=[],
    )
    run.write_placement(placement_on(session, run, attempt=1, threads=1))
    shutil.copytree(run.path, host.inside(session.folder_of(run)))
    owe(run)
    run.write_status(run.status().enter(State.QUEUED, host=host.name))
    return run


@contextmanager
def _watching(fleet: Fleet, runs: Sequence[RunFolder]) -> Iterator[int]:
    """Watch in a process of its own, once every run is seen to be trained; give its number."""
    process = fleet.rlmaster.start("-m", "rlmaster", "watch", "--quiet")
    wait_until(lambda: all(run.progress().step for run in runs), bound_s=60)
    try:
        yield process.pid
    finally:
        process.kill()


def _share(cpu_s: Callable[[], float]) -> float:
    """Return how much of one core was used in a window of time."""
    begun, used_s = time.perf_counter(), cpu_s()
    time.sleep(WINDOW_S)
    return (cpu_s() - used_s) / (time.perf_counter() - begun)


def _cpu_s(pid: int) -> float:
    """Return the seconds of a core that a process has used, with its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _check_freshness(fleet: Fleet, runs: Sequence[RunFolder]) -> None:
    """See that what was measured is a watch that keeps up."""
    for run in runs:
        placement = run.placement()
        assert placement is not None
        there = _there(fleet.lab.hosts[placement.host], run)
        behind = there.progress().step - run.progress().step
        if behind > 5:
            raise SystemExit(f"run {run.short_id} is {behind} s behind its host")


def main() -> None:
    """Measure what is asked for, and print it."""
    measures = {
        "probe": measure_probe,
        "launch": measure_launch,
        "latency": measure_latency,
        "screen": measure_screen,
        "watch": measure_watch,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="how often each is measured")
    parser.add_argument("--only", nargs="+", choices=measures, default=list(measures))
    given = parser.parse_args()
    if not namespaces_can_be_made():
        print("left out: only root can make the hosts of tests/lab")
        return
    for name in given.only:
        measures[name](given.times)


if __name__ == "__main__":
    main()
