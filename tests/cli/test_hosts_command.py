"""`rlmaster hosts` and `rlmaster queue --host`, with real hosts of the lab."""

import json
import os
import pty
import select
import subprocess

import pytest
from lab import Lab

from rlmaster.hosts.inventory import Host, read_inventory
from rlmaster.hosts.queue import Queue
from rlmaster.run_folder import RunFolder
from tui.drafts.draft import parse_hosts

PASSPHRASE = "hunter2 hunter2"


def test_the_only_host_is_this_computer(command, own_locks):
    assert command("hosts").out.startswith("local: ")
    (row,) = json.loads(command("hosts", "--json").out)["hosts"]
    assert (row["name"], row["kind"], row["fits"]) == ("local", "local", True)
    assert row["probe"]["cores"] >= 1
    assert row["slots"] >= 1
    assert (row["waiting"], row["drained"], row["unreachable"]) == (0, False, None)


def test_a_host_is_added_and_removed(command, project):
    text = (project / "hosts.toml").read_text()
    options = ["--address", "me@gpu1:2222", "--tag", "a100", "--tag", "quiet", "--cpu-slots", "3"]

    added = command("hosts", "add", "gpu1", *options, "--json")

    assert added.code == 0
    assert json.loads(added.out) == {"host": "gpu1", "file": str(project / "hosts.toml")}
    assert "rlmaster hosts test gpu1" in added.err
    assert read_inventory(project / "hosts.toml").find("gpu1") == Host(
        "gpu1", "ssh", "me@gpu1:2222", tags=("a100", "quiet"), cpu_slots=3
    )
    removed = command("hosts", "remove", "gpu1", "--json")
    assert json.loads(removed.out)["runs_there"] == 0
    assert (project / "hosts.toml").read_text() == text


def test_the_own_file_is_changed_where_that_is_asked_for(command, project, monkeypatch, tmp_path):
    own = tmp_path / "own.toml"
    monkeypatch.setenv("RLMASTER_HOSTS", str(own))
    text = (project / "hosts.toml").read_text()

    assert command("hosts", "add", "mine", "--user").code == 0
    assert own.read_text() == '[hosts.mine]\nkind = "ssh"\n'
    assert command("hosts", "remove", "mine").code == 2
    assert command("hosts", "remove", "mine", "--user").code == 0

    assert own.read_text() == ""
    assert (project / "hosts.toml").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["add", "local"], "there is a host 'local' in"),
        (["add", "x", "--address=-oProxyCommand=reboot"], "hosts.x.address must be a name"),
        (["add", "x", "--cpu-slots", "0"], "hosts.x.cpu_slots must be a whole number"),
        (["remove", "locl"], "there is no host 'locl'"),
        (["drain", "locl"], "there is no host 'locl'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(command, arguments, sentence):
    done = command("hosts", *arguments)

    assert done.code == 2
    assert sentence in done.err


def test_this_computer_is_drained_by_its_name_too(command, own_locks):
    assert json.loads(command("hosts", "drain", "local", "--json").out)["drained"]
    assert Queue.here().is_drained
    assert "rlmaster queue open" in command("hosts").out
    assert json.loads(command("hosts", "--json").out)["hosts"][0]["drained"]
    assert not json.loads(command("hosts", "drain", "local", "--open", "--json").out)["drained"]


def test_whose_queue_is_said_once(command):
    assert "leave out --host" in command("queue", "drain", "--host", "local").err
    assert "behind `drain` or `open`" in command("queue", "--host", "local", "drain").err


@pytest.mark.system
def test_hosts_are_listed_for_the_app_best_first(lab: Lab, rlmaster):
    lab.add_host("plain")
    lab.add_host("gpu1", gpus="gpu GPU-1 0 0 24000000000 NVIDIA RTX A5000\n")
    lab.write_inventory(rlmaster.project)
    with (rlmaster.project / "hosts.toml").open("a") as file:
        file.write('\n[hosts.gone]\nkind = "ssh"\naddress = "127.0.0.1:1"\n')

    done = rlmaster("hosts", "--json")

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [(host.name, host.kind, host.fits) for host in parse_hosts(answer)] == [
        ("gpu1", "ssh", True),
        ("plain", "ssh", True),
        ("gone", "ssh", False),
    ]
    assert answer["hosts"][2]["probe"] is None
    assert "unreachable since " in answer["hosts"][2]["reason"]
    assert answer["hosts"][2]["unreachable"]["since"]
    assert [host["place"] for host in answer["hosts"]] == [1, 0, 2]
    assert answer["hosts"][2]["address"] == "127.0.0.1:1"


@pytest.mark.system
def test_only_the_host_that_is_asked_for_is_measured(lab: Lab, rlmaster):
    lab.add_hosts("office", "dead")
    lab.write_inventory(rlmaster.project)
    lab.hosts["dead"].power_off()
    assert rlmaster("hosts", "drain", "office").returncode == 0

    run = launched(rlmaster, "office")

    ranking = run.host_choice()["ranking"]
    assert [entry["host"] for entry in ranking] == ["office"]


def launched(rlmaster, host: str) -> RunFolder:
    """Launch a run on a host that starts nothing, and return its folder here."""
    given = ["--rationale", "To wait.", "--host", host, "--yes", "--detach", "--json"]
    done = rlmaster("launch", "tiny", *given)
    assert done.returncode == 0, done.stderr
    return RunFolder(rlmaster.project / json.loads(done.stdout)["run_folder"])


@pytest.mark.system
def test_the_queue_of_another_computer_is_ordered_from_here(lab: Lab, rlmaster):
    lab.add_host("office")
    lab.write_inventory(rlmaster.project)
    drained = rlmaster("hosts", "drain", "office", "--json")
    assert json.loads(drained.stdout) == {"drained": True, "waiting": 0}
    first, second = launched(rlmaster, "office"), launched(rlmaster, "office")

    front = rlmaster("queue", "front", second.short_id, "--json")
    assert json.loads(front.stdout) == {"run_id": second.id, "ahead": 0}
    shown = rlmaster("queue", "--host", "office").stdout.splitlines()
    assert shown[0] == "drained: nothing is started until `rlmaster queue open --host office`"
    assert [line.split()[1] for line in shown[1:]] == [second.short_id, first.short_id]

    removed = rlmaster("queue", "remove", second.short_id, "--json")
    assert json.loads(removed.stdout)["runs"][0]["state"] == "stopped"
    left = json.loads(rlmaster("queue", "--host", "office", "--json").stdout)["waiting"]
    assert [row["run_id"] for row in left] == [first.id]
    assert "runs that are still there: " in rlmaster("hosts", "remove", "office").stderr


@pytest.mark.system
def test_in_a_terminal_a_passphrase_is_asked_for_once_and_unseen(lab: Lab, rlmaster):
    lab.add_hosts("first", "second")
    lab.write_inventory(rlmaster.project)
    change = ["ssh-keygen", "-p", "-q", "-N", PASSPHRASE, "-f", str(lab.key)]
    subprocess.run(change, check=True, capture_output=True)
    person, terminal = pty.openpty()
    with subprocess.Popen(
        rlmaster.command("hosts"),
        cwd=rlmaster.project,
        env={**rlmaster.environment, "TERM": "xterm"},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        shown = read_and_type(person, "go on without", PASSPHRASE)
        ranking = process.communicate(timeout=30)[0].decode()
        os.close(person)

    assert shown.count("Passphrase of ") == 1
    assert PASSPHRASE not in shown
    assert "first: asking ..." in shown
    assert sorted(line.partition(":")[0] for line in ranking.splitlines()) == ["first", "second"]
    assert "unreachable" not in ranking


def read_and_type(person: int, question: str, typed: str) -> str:
    """Return all that a terminal shows until its program ends; answer a question each time."""
    shown, answered = "", 0
    while select.select([person], [], [], 30)[0]:
        try:
            shown += os.read(person, 4096).decode()
        except OSError:  # so a terminal says that nobody else has it open
            return shown
        if shown.count(question) > answered:
            os.write(person, f"{typed}\n".encode())
            answered += 1
    raise AssertionError(f"it waits for something: {shown}")
