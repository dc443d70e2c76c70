"""`rlmaster hosts --live`: what is known now, and each answer as it comes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from lab import Lab


class Live:
    """The command as it runs, read line by line."""

    def __init__(self, rlmaster, *arguments: str) -> None:
        self.process = subprocess.Popen(
            rlmaster.command("hosts", "--live", "1", "--json", *arguments),
            cwd=rlmaster.project,
            env=rlmaster.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def read(self) -> dict[str, Any]:
        """Return the next line."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.process.stderr and self.process.stderr.read().decode()
        return json.loads(line)

    def read_until(self, condition) -> dict[str, dict[str, Any]]:
        """Return the hosts by name, as soon as a line is as it shall be."""
        while True:
            answer = self.read()
            hosts = {host["name"]: host for host in answer["hosts"]}
            if condition(hosts):
                return hosts


@contextmanager
def live(rlmaster, *arguments: str) -> Iterator[Live]:
    running = Live(rlmaster, *arguments)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def test_it_is_for_programs(command):
    done = command("hosts", "--live", "5")

    assert done.code == 2
    assert "add --json" in done.err


@pytest.mark.system
def test_what_is_known_is_said_at_once_and_again_once_it_is_measured(rlmaster):
    with live(rlmaster) as running:
        (first,) = running.read()["hosts"]
        assert (first["name"], first["pending"], first["probe"]) == ("local", True, None)

        measured = running.read_until(lambda hosts: not hosts["local"]["pending"])["local"]
        assert measured["fits"]
        assert measured["slots"] >= 1
        assert measured["probe"]["cores"] >= 1
        again = running.read_until(lambda hosts: hosts["local"] != measured)["local"]
        assert again["probe"]["clock_s"] > measured["probe"]["clock_s"]


@pytest.mark.system
def test_it_ends_when_nobody_reads_and_when_it_is_interrupted(rlmaster):
    with live(rlmaster) as running:
        running.read()
        running.process.stdout.close()
        assert running.process.wait(timeout=30) == 0
        assert running.process.stderr.read() == b""
    with live(rlmaster) as running:
        running.read()
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(timeout=30) == 130


@pytest.mark.system
def test_hosts_toml_is_read_again_and_a_mistake_in_it_is_told(rlmaster):
    file = rlmaster.project / "hosts.toml"
    with live(rlmaster) as running:
        running.read_until(lambda hosts: not hosts["local"]["pending"])
        replace(file, '[hosts.local]\nkind = "locl"\n')
        while not (answer := running.read())["problem"]:
            pass
        assert "hosts.local.kind" in answer["problem"]
        assert answer["hosts"][0]["probe"], "what was known is still known"

        replace(file, '[hosts.here]\nkind = "local"\nnotes = "quiet"\ntags = ["a"]\n')
        hosts = running.read_until(lambda hosts: "here" in hosts and not hosts["here"]["pending"])
        assert list(hosts) == ["here"]
        assert (hosts["here"]["notes"], hosts["here"]["tags"]) == ("quiet", ["a"])


def replace(file, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


@pytest.mark.system
def test_a_host_that_is_silent_delays_no_other_and_comes_back(lab: Lab, rlmaster):
    _, dead = lab.add_hosts("office", "dead")
    lab.write_inventory(rlmaster.project)
    dead.power_off()
    with live(rlmaster) as running:
        hosts = running.read_until(lambda hosts: not hosts["office"]["pending"])
        assert hosts["office"]["probe"]["hostname"]
        assert hosts["dead"]["pending"]

        hosts = running.read_until(lambda hosts: not hosts["dead"]["pending"])
        assert hosts["dead"]["reason"].startswith("unreachable since ")
        assert hosts["dead"]["unreachable"]["since"]
        dead.power_on()
        hosts = running.read_until(lambda hosts: hosts["dead"]["probe"])
        assert hosts["dead"]["unreachable"] is None


@pytest.mark.system
def test_a_connection_is_kept_and_made_anew_once_it_is_lost(lab: Lab, rlmaster):
    office = lab.add_host("office")
    lab.write_inventory(rlmaster.project)
    with live(rlmaster) as running:
        hosts = running.read_until(lambda hosts: hosts["office"]["probe"])
        first = hosts["office"]["probe"]
        connected = office.sshd(sessions=True)
        running.read_until(lambda hosts: hosts["office"]["probe"] != first)
        assert set(office.sshd(sessions=True)) <= set(connected)
        office.kill_sshd()
        hosts = running.read_until(lambda hosts: hosts["office"]["probe"] is None)
        assert hosts["office"]["reason"].startswith("unreachable since ")
        office.start_sshd()
        running.read_until(lambda hosts: hosts["office"]["probe"])


@pytest.mark.system
@pytest.mark.parametrize("was_let_in", [False, True])
def test_a_key_that_is_refused_is_not_tried_again_before_something_changes(
    lab: Lab, rlmaster, was_let_in
):
    office = lab.add_host("office")
    lab.write_inventory(rlmaster.project, local=True)
    keys = office.home / ".ssh" / "authorized_keys"
    known = keys.read_text()
    if not was_let_in:
        keys.write_text("")
    with live(rlmaster) as running:
        if was_let_in:
            running.read_until(lambda hosts: hosts["office"]["probe"])
            keys.write_text("")
            for session in set(office.sshd(sessions=True)) - set(office.sshd(sessions=False)):
                with suppress(ProcessLookupError):  # a session ends with the one before it
                    os.kill(session, signal.SIGKILL)
        hosts = running.read_until(
            lambda hosts: not hosts["office"]["pending"] and not hosts["office"]["probe"]
        )
        assert "unreachable since" in hosts["office"]["reason"]
        keys.write_text(known)
        for _ in range(3):
            before = hosts["local"]["probe"]
            hosts = running.read_until(
                lambda hosts, before=before: hosts["local"]["probe"] != before
            )
            assert hosts["office"]["probe"] is None
        lab.key.touch()
        running.read_until(lambda hosts: hosts["office"]["probe"])


UNNOTICED = """
import sys
from rlmaster.cli import host_rows, main
host_rows.nobody_reads = lambda: False
sys.argv[1:] = ["hosts", "--live", "1", "--json"]
main()
"""


@pytest.mark.system
def test_it_ends_as_well_where_it_writes_before_it_notices_that_nobody_reads(rlmaster):
    with subprocess.Popen(
        [sys.executable, "-c", UNNOTICED],
        cwd=rlmaster.project,
        env=rlmaster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        running.stdout.readline()
        running.stdout.close()
        try:
            assert running.wait(timeout=30) == 0
            assert running.stderr.read() == b""
        finally:
            running.kill()
