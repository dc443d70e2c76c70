import pytest
from changed_hosts import Leftovers, add_name, let_in
from lab import Lab
from paramiko import Channel, SSHException

from rlmaster.errors import HostError, SilenceError
from rlmaster.ssh import link
from rlmaster.ssh.connection import Connection
from rlmaster.ssh.link import Passage
from rlmaster.ssh.process import Process

pytestmark = pytest.mark.system

LONG_S = 60
"""Longer than it takes to notice a dead link, by far."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead links are given up after three seconds."""
    for name, value in {
        "IDLE_S": 1,
        "ASKED_EVERY_S": 1,
        "ASKED_TIMES": 2,
        "DEAD_AFTER_S": 3,
    }.items():
        monkeypatch.setattr(link, name, value)


@pytest.mark.usefixtures("impatient")
def test_links_on_which_nothing_comes_any_more_are_given_up(lab: Lab):
    gate, office = lab.add_hosts("gate", "office")
    inner = lab.add_host("inner", behind=gate)
    leftovers = Leftovers()
    names = ("office", "inner")
    connections = [Connection.open(name) for name in names]
    processes = [connection.start("sleep 600") for connection in connections]
    for host in (office, inner):
        host.drop_packets(True)
    for name, process in zip(names, processes, strict=True):
        with pytest.raises(HostError, match=f"^the connection to {name} was lost$"):
            process.read(1, timeout_s=LONG_S)
    for connection in connections:
        assert not connection.is_alive
        connection.close()
    assert leftovers.vanish()


@pytest.mark.usefixtures("impatient")
def test_a_host_behind_one_that_is_gone_is_lost_too(lab: Lab):
    gate = lab.add_host("gate")
    lab.add_host("inner", behind=gate)
    leftovers = Leftovers()
    with Connection.open("inner") as connection, connection.start("sleep 600") as process:
        gate.power_off()
        with pytest.raises(HostError, match=r"^the connection to inner was lost$"):
            process.read(1, timeout_s=LONG_S)
    assert leftovers.vanish()


@pytest.mark.usefixtures("impatient")
def test_a_server_that_stops_behind_a_jump_host_is_given_up(lab: Lab):
    gate = lab.add_host("gate")
    inner = lab.add_host("inner", behind=gate)
    with Connection.open("inner") as connection, connection.start("sleep 600") as process:
        inner.pause_sshd(sessions=True)
        with pytest.raises(HostError, match=r"^the connection to inner was lost$"):
            process.read(1, timeout_s=LONG_S)


@pytest.mark.parametrize("error", [EOFError(), OSError("closed"), SSHException("not active")])
def test_a_passage_through_a_host_that_is_gone_is_closed_without_a_word(error):
    """Its end would be told to the host; whether that fails is a matter of who is first."""

    class GoneChannel(Channel):
        def close(self) -> None:
            raise error

    Passage(GoneChannel(0)).close()


@pytest.mark.usefixtures("impatient")
def test_one_who_writes_is_told_as_well(lab: Lab):
    office = lab.add_host("office")
    with Connection.open("office") as connection, connection.start("cat > /dev/null") as process:
        office.power_off()
        with pytest.raises(HostError, match=r"^the connection to office was lost$"):
            write_for_ever(process)


def write_for_ever(process: Process) -> None:
    while True:
        process.write(bytes(100_000), timeout_s=LONG_S)


@pytest.mark.parametrize("behind", [False, True])
def test_a_link_that_comes_back_soon_is_not_given_up(lab: Lab, behind):
    gate = lab.add_host("gate") if behind else None
    office = lab.add_host("office", behind=gate)
    with Connection.open("office") as connection, connection.start("cat") as process:
        office.link(up=False)
        process.write(b"a")
        with pytest.raises(SilenceError):
            process.read(1, timeout_s=1)
        office.link(up=True)
        assert process.read(1, timeout_s=LONG_S) == b"a"


def test_a_person_may_think_longer_than_a_link_may_be_dead(lab: Lab, make_key, monkeypatch):
    """A server gives no sign of life before somebody is logged in, and need not."""
    monkeypatch.setattr("rlmaster.ssh.link.IDLE_S", 1)
    monkeypatch.setattr("rlmaster.ssh.link.DEAD_AFTER_S", 4)
    office = lab.add_host("office", behind=lab.add_host("gate"))
    key = make_key(passphrase="open sesame")
    let_in(office, key.with_suffix(".pub"))
    add_name(lab, "desk", office, "ProxyJump gate", f"IdentityFile {key}")

    def ask(_: str) -> str:
        with Connection.open("gate") as gate, pytest.raises(SilenceError):
            gate.execute("sleep 600", timeout_s=5)
        return "open sesame"

    with Connection.open("desk", ask=ask) as connection:
        assert connection.execute("echo in", timeout_s=30).stdout == b"in\n"


@pytest.mark.parametrize("behind", [False, True])
def test_a_quiet_link_stays(lab: Lab, behind, monkeypatch):
    """That of a host behind another is asked often here, to see that it minds no answer."""
    monkeypatch.setattr("rlmaster.ssh.link.IDLE_S", 1)
    lab.add_host("office", behind=lab.add_host("gate") if behind else None)
    with Connection.open("office") as connection, connection.start("cat") as process:
        with pytest.raises(SilenceError):
            process.read(1, timeout_s=3)
        process.write(b"a")
        assert process.read(1, timeout_s=LONG_S) == b"a"
        assert connection.is_alive
