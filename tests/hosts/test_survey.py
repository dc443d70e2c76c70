import re
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from lab import Lab
from waiting import wait_until

from rlmaster.experiment import Requirements
from rlmaster.hosts import survey as survey_module
from rlmaster.hosts.inventory import Host, read_inventory
from rlmaster.hosts.reachability import unreachable_since
from rlmaster.hosts.remote import RemoteHost
from rlmaster.hosts.selection import Candidate, Ranked, rank
from rlmaster.hosts.survey import survey
from rlmaster.project import Project

A100 = "gpu GPU-1 0 600000000 80000000000 NVIDIA A100\n"
A5000 = "gpu GPU-2 0 0 24000000000 NVIDIA RTX A5000\n"
SOMEBODY_ELSES = "process 4194304 9000000000\n"  # a number above every process id that Linux gives
PASSPHRASE = "what nobody knows"

pytestmark = pytest.mark.system


@pytest.fixture
def home(tmp_path) -> Project:
    """Return an empty project."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "hosts.toml").touch()
    return Project(tmp_path)


def ask_all(project: Project, **options) -> list[Candidate]:
    """Ask every host of the project; the answers are in the order in which they came."""
    return list(survey(project, read_inventory(project.hosts_file).hosts, **options))


def ranking(project: Project, requirements: Requirements | None = None) -> dict[str, Ranked]:
    return {ranked.host: ranked for ranked in rank(ask_all(project), requirements)}


def test_four_hosts_are_ranked_by_what_they_say(lab: Lab, home: Project):
    lab.add_host("plain")
    lab.add_host("taken", gpus=A100 + SOMEBODY_ELSES)
    lab.add_host("small", gpus=A5000)
    lab.add_host("large", gpus=A100)
    lab.write_inventory(home.root)

    found = ranking(home, Requirements(gpu=True))

    assert list(found)[:2] == ["large", "small"]
    assert [ranked.fits for ranked in found.values()] == [True, True, False, False]
    assert "1 of 1 GPU free (NVIDIA A100, 79 GB)" in found["large"].reason
    assert found["taken"].reason == "does not fit: a free GPU is needed, but 1 GPU in use"
    assert found["plain"].reason == "does not fit: a free GPU is needed, but no GPU"
    probe = found["taken"].probe
    assert probe is not None
    assert probe.gpu_source == "nvml"
    assert probe.gpus is not None
    assert probe.gpus[0].processes is not None
    assert not probe.gpus[0].processes[0].own


def test_a_dead_host_delays_no_other_and_is_unreachable_since_then(lab: Lab, home: Project):
    lab.add_hosts("first", "dead", "last")
    lab.write_inventory(home.root)
    lab.hosts["dead"].power_off()

    answers = ask_all(home, timeout_s=2.0)

    assert {answer.host.name for answer in answers[:2]} == {"first", "last"}
    assert all(answer.probe for answer in answers[:2])
    assert answers[2].probe is None
    known = unreachable_since(home.runs, "dead")
    assert known is not None
    assert answers[2].unreachable == str(known)
    lab.hosts["dead"].power_on()
    wait_until(lambda: all(answer.probe for answer in ask_all(home)))
    assert unreachable_since(home.runs, "dead") is None


def test_a_host_that_hangs_is_given_up(lab: Lab, home: Project):
    lab.add_hosts("well", "hanging")
    lab.write_inventory(home.root)
    lab.hosts["hanging"].pause_sshd()

    answers = {answer.host.name: answer for answer in ask_all(home, timeout_s=1.0)}

    assert answers["well"].probe
    assert "unreachable since" in answers["hanging"].unreachable
    lab.hosts["hanging"].resume_sshd()


def test_twenty_hosts_answer_at_once(lab: Lab, home: Project):
    lab.add_hosts(*(f"gpu{number}" for number in range(20)))
    lab.write_inventory(home.root)

    answers = ask_all(home)

    assert {answer.host.name for answer in answers if answer.probe} == set(lab.hosts)


def test_without_an_environment_it_says_what_makes_one(lab: Lab, home: Project):
    lab.add_hosts("bare", "wrong", "named")
    home.hosts_file.write_text(
        '[hosts.bare]\nkind = "ssh"\n'
        '[hosts.wrong]\nkind = "ssh"\npython = "~/none/bin/python"\n'
        '[hosts.named]\nkind = "ssh"\npython = "python3"\n'
    )

    found = ranking(home)

    assert found["bare"].reason == (
        "does not fit: it has no environment yet; `rlmaster hosts setup bare` makes it"
    )
    assert found["wrong"].reason == (
        "does not fit: there is no Python ~/none/bin/python there; correct it in hosts.toml"
    )
    assert found["named"].fits
    assert found["named"].probe is not None
    assert found["named"].probe.python.endswith("/python3")


def test_the_queue_of_a_host_counts(lab: Lab, home: Project):
    busy, _ = lab.add_hosts("busy", "idle")
    lab.write_inventory(home.root)
    (probe,) = (c.probe for c in ask_all(home) if c.host.name == "busy")
    assert probe is not None
    queue = busy.home / ".local" / "state" / "rlmaster" / "queue" / probe.machine
    queue.mkdir(parents=True)
    (queue / "00000000000000000001.20260101-120000-abc234.1.ticket").touch()
    (queue / "drained").touch()

    found = ranking(home)

    assert list(found) == ["idle", "busy"]
    assert found["busy"].fits
    assert found["busy"].reason.startswith(
        "drained: nothing is started until `rlmaster hosts drain busy --open`; "
        "0 of 2 slots taken, 1 waiting: "
    )


def test_a_changed_host_key_is_a_reason(lab: Lab, home: Project):
    office = lab.add_host("office")
    lab.write_inventory(home.root)
    office.rotate_key()

    (answer,) = ask_all(home)

    assert answer.probe is None
    assert "another key than the one that is known" in answer.unreachable


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("echo garbage", "answered the probe with something else: 'garbage"),
        ("head -c 1000000000 /dev/zero", "more than|did not end within"),
        ("printf '\\033[2J\\033]0;title\\007{\\033[31m'", "answered the probe with something else"),
        ("exit 0", "did not answer the probe"),
        ("exit 3", "exit code 3"),
        ("printf '\\033[2Jdown with %s\\n' you >&2; exit 3", "down with you"),
        ("head -c 900000 /dev/zero | tr '\\0' '['", "answered the probe with something else"),
        ("""echo '{"cpu": [[[[]]]], "gpu": 7}'""", "answered the probe, but cpu is not an object"),
        ("sleep 100", "within"),
        ("kill -9 $$", "liar"),
    ],
)
def test_a_host_that_lies_is_named_in_one_sentence(
    lab: Lab, home: Project, program: str, sentence: str
):
    liar, _ = lab.add_hosts("liar", "honest")
    lab.write_inventory(home.root)
    python = liar.home / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\nread -r _\n{program}\n")  # once it is spoken to, as Python does
    python.chmod(0o755)
    liar.start_up_file('PATH="$HOME/bin:$PATH"\n')

    answers = {answer.host.name: answer for answer in ask_all(home, timeout_s=3.0)}

    assert answers["honest"].probe
    assert answers["liar"].probe is None
    said = answers["liar"].unreachable
    assert "liar" in said
    assert re.search(sentence, said)
    assert said.isprintable()
    assert len(said) < 500


def encrypt_key(lab: Lab) -> None:
    change = ["ssh-keygen", "-p", "-q", "-N", PASSPHRASE, "-f", str(lab.key)]
    subprocess.run(change, check=True, capture_output=True)


def test_a_person_is_asked_once_and_by_the_thread_that_waits(lab: Lab, home: Project):
    lab.add_hosts("first", "second", "third")
    lab.write_inventory(home.root)
    encrypt_key(lab)
    asked: list[tuple[str, threading.Thread]] = []

    def ask(key: str) -> str:
        asked.append((key, threading.current_thread()))
        return PASSPHRASE

    answers = ask_all(home, ask=ask)

    assert all(answer.probe for answer in answers), [answer.unreachable for answer in answers]
    assert asked == [(str(lab.key), threading.current_thread())]


def test_without_a_person_an_encrypted_key_is_a_reason(lab: Lab, home: Project):
    lab.add_host("office")
    lab.write_inventory(home.root)
    encrypt_key(lab)

    (answer,) = ask_all(home)

    assert f"ssh-add {lab.key}" in answer.unreachable


@pytest.fixture
def stuck(monkeypatch) -> Callable[[], None]:
    """Let every connection hang as no deadline ends it, until what is returned is called."""
    released = threading.Event()

    def connect(*_: object, **__: object) -> RemoteHost:
        released.wait()
        raise OSError("too late")

    monkeypatch.setattr(RemoteHost, "connect", connect)
    return released.set


def test_whoever_hangs_beyond_all_deadlines_is_left_behind(home: Project, monkeypatch, stuck):
    monkeypatch.setattr(survey_module, "GRACE_S", 0.0)
    monkeypatch.setattr(survey_module, "LEAST_ANSWER_S", 0.0)
    hosts = [Host("stuck", "ssh"), Host("local")]

    answers = list(survey(home, hosts, timeout_s=5.0))

    assert [answer.host.name for answer in answers] == ["local", "stuck"]
    assert answers[1].unreachable == "no answer within 5 s"
    stuck()


def test_whoever_measures_this_computer_alone_waits_for_no_library(tmp_path):
    code = (
        "import pathlib, sys\n"
        "from rlmaster.hosts.inventory import Host\n"
        "from rlmaster.hosts.survey import survey\n"
        "from rlmaster.project import Project\n"
        f"assert list(survey(Project(pathlib.Path({str(tmp_path)!r})), [Host('local')]))\n"
        "assert 'paramiko' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("namespaces")
def test_this_computer_is_measured_among_the_others(lab: Lab, home: Project):
    lab.add_host("office")
    lab.write_inventory(home.root, local=True)

    answers = {answer.host.name: answer.probe for answer in ask_all(home)}

    assert answers["local"] is not None
    assert answers["office"] is not None
    assert answers["local"].boot_id != answers["office"].boot_id
    assert answers["office"].hostname == "office"
    assert answers["office"].home == answers["office"].workspace.removesuffix("/rlmaster-workspace")
