import re
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
from changed_hosts import Leftovers, add_name, set_up

from rlmaster.errors import AuthenticationError, HostError, HostKeyError, SilenceError
from rlmaster.ssh.connection import Connection

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail where a connection, made or not, leaves a thread or a descriptor behind."""
    request.getfixturevalue("lab")  # it has some of its own
    leftovers = Leftovers()
    yield
    assert leftovers.vanish()


def name_of(address: str) -> str:
    """Return what the computer that an address leads to calls itself."""
    with Connection.open(address) as connection:
        assert connection.is_alive
        return connection.execute("uname -n", timeout_s=30).stdout.decode().strip()


def refusal(address: str, kind: type[HostError] = HostError, timeout_s: float = 30) -> str:
    """Return why there is no connection."""
    with pytest.raises(HostError) as caught:
        Connection.open(address, timeout_s=timeout_s)
    assert type(caught.value) is kind
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_name_of_the_ssh_configuration_leads_there(office):
    assert name_of("office") == office.execute(["uname", "-n"]).stdout.strip()


def test_so_does_an_address_with_user_and_port(lab, office):
    add_name(lab, office.address, office, f"IdentityFile {lab.key}")
    assert name_of(f"{office.user}@{office.address}:{office.port}")


def test_several_hosts_are_jumped_through(lab):
    gate = lab.add_host("gate")
    inner = lab.add_host("inner", behind=gate)
    lab.add_host("innermost", behind=inner)
    assert name_of("innermost") == "innermost"
    with lab.ssh_config.open("a") as file:
        file.write(f"Host by-list\n HostName {lab.hosts['innermost'].address}\n User root\n")
        file.write(f" ProxyJump gate,inner\n IdentityFile {lab.key}\n")
        file.write(f" UserKnownHostsFile {lab.known_hosts}\n")
    assert name_of("by-list") == "innermost"


def test_a_jump_host_that_is_not_trusted_stops_the_journey(lab):
    gate = lab.add_host("gate")
    lab.add_host("inner", behind=gate)
    gate.rotate_key()
    assert "gate shows another key than the one that is known" in refusal("inner", HostKeyError)


def test_a_host_that_its_jump_host_does_not_reach_is_named(lab):
    gate = lab.add_host("gate")
    inner = lab.add_host("inner", behind=gate)
    inner.kill_sshd()
    said = refusal("inner")
    assert said == (
        f"inner ({inner.address}) cannot be reached from gate, through which its way leads: "
        "connect failed"
    )


def test_a_host_that_does_not_answer_its_jump_host_is_not_waited_for(lab):
    gate = lab.add_host("gate")
    inner = lab.add_host("inner", behind=gate)
    inner.drop_packets(True)
    said = refusal("inner", SilenceError, timeout_s=2)
    assert said == (
        f"inner ({inner.address}) did not answer gate, through which its way leads, within 2 s"
    )


def test_a_program_may_be_the_way(lab, office):
    relay = f"ProxyCommand ssh -F {lab.ssh_config} -W %h:%p office"
    add_name(lab, "by-program", office, relay, f"IdentityFile {lab.key}")
    assert name_of("by-program") == name_of("office")


@pytest.mark.parametrize("program", ["exit 1", "/no/such/program", "exec cat"])
def test_a_program_that_leads_nowhere_is_no_way(lab, office, program):
    add_name(lab, "by-program", office, f"ProxyCommand {program}", f"IdentityFile {lab.key}")
    assert refusal("by-program").startswith("by-program ended the connection before anything was")


def test_a_program_that_hangs_is_ended(lab, office):
    add_name(lab, "by-program", office, "ProxyCommand sleep 600")
    said = refusal("by-program", SilenceError, timeout_s=1)
    assert said == "by-program can be reached, but its SSH server said nothing within 1 s"


def test_an_unknown_key_is_refused_until_a_person_has_looked_at_it(lab, office):
    lab.known_hosts.write_text("")
    said = refusal("office", HostKeyError)
    fingerprint = subprocess.run(
        ["ssh-keygen", "-l", "-f", "-"], input=office.public_key, capture_output=True, text=True
    ).stdout.split()[1]
    assert fingerprint in said
    (command,) = re.findall("`(.*?)`", said)
    ssh, *rest = shlex.split(command)
    accepted = [ssh, "-o", "StrictHostKeyChecking=accept-new", *rest]
    subprocess.run(accepted, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    assert name_of("office")


def test_a_changed_key_is_refused_until_a_person_has_forgotten_the_old_one(lab, office):
    office.rotate_key()
    said = refusal("office", HostKeyError)
    assert f"({lab.known_hosts}, line 1)" in said
    forget, _ = re.findall("`(.*?)`", said)
    subprocess.run(shlex.split(forget), check=True, capture_output=True)
    assert "its key is not known yet" in refusal("office", HostKeyError)


def test_names_may_be_hashed_and_keys_revoked(lab, office):
    subprocess.run(
        ["ssh-keygen", "-H", "-f", str(lab.known_hosts)], check=True, capture_output=True
    )
    assert office.address not in lab.known_hosts.read_text()
    assert name_of("office")
    with lab.known_hosts.open("a") as file:
        file.write(f"@revoked * {office.public_key}\n")
    assert "office shows a key that is revoked" in refusal("office", HostKeyError)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_of_several_keys_the_known_one_is_asked_for(lab, office, kind):
    path = office.folder / "etc" / "ssh" / kind
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
    config = (office.folder / "etc" / "ssh" / "sshd_config").read_text()
    (first_key,) = re.findall("HostKey (.*)", config)
    set_up(office, f"HostKey {first_key.removesuffix('host_key')}{kind}")
    public = path.with_suffix(".pub").read_text()
    known = lab.known_hosts.read_text()
    lab.known_hosts.write_text(f"{known.split()[0]} {public}")
    assert name_of("office")
    lab.known_hosts.write_text(known)
    assert name_of("office")


def test_a_server_that_speaks_nothing_in_common_is_named(office):
    set_up(office, "Ciphers chacha20-poly1305@openssh.com")
    assert "office speaks no SSH that is spoken here" in refusal("office")


def test_a_server_that_others_keep_busy_is_named(office):
    set_up(office, "MaxStartups 1:100:1")
    with socket.create_connection((office.address, office.port)) as other:
        assert other.recv(4) == b"SSH-"
        said = refusal("office")
    assert said.startswith("office ended the connection before anything was said: too many")


def test_a_stopped_server_is_not_waited_for(office):
    office.pause_sshd()
    said = refusal("office", SilenceError, timeout_s=1)
    assert said == "office can be reached, but its SSH server said nothing within 1 s"


def test_a_computer_that_nobody_answers_for_is_not_waited_for(office):
    office.drop_packets(True)
    said = refusal("office", SilenceError, timeout_s=1)
    assert said == f"office ({office.address}) did not answer within 1 s"


def test_the_configuration_may_shorten_the_wait(lab, office):
    add_name(lab, "hasty", office, "ConnectTimeout 1")
    office.pause_sshd()
    assert "nothing within 1 s" in refusal("hasty", SilenceError, timeout_s=600)


@pytest.mark.usefixtures("namespaces")
def test_a_computer_without_a_server_says_so(office):
    office.kill_sshd()
    assert refusal("office").endswith(f"{office.address}) cannot be reached: Connection refused")


@pytest.mark.parametrize("name", ["no-such-computer.invalid", "no..such.computer"])
def test_a_name_that_nobody_knows_is_named(name):
    assert refusal(name).startswith(f"{name} cannot be reached: nobody knows that name; correct")


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n" + b"\0" * 99]
)
def test_what_is_no_ssh_server_is_no_computer(lab, said):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: answer(listener, said))
        thread.start()
        port = listener.getsockname()[1]
        assert "ended the connection before anything was said" in refusal(f"me@127.0.0.1:{port}")
        thread.join()


def answer(listener: socket.socket, content: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(100)
        connection.sendall(content)


def test_a_server_that_never_ends_its_greeting_is_not_listened_to(lab):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: chatter(listener))
        thread.start()
        refusal(f"me@127.0.0.1:{listener.getsockname()[1]}", SilenceError, timeout_s=1)
        thread.join()


def chatter(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        try:
            while True:
                connection.sendall(b"x" * 100)
        except OSError:
            pass


def test_without_openssh_the_configuration_is_read_all_the_same(office, monkeypatch, tmp_path):
    with monkeypatch.context() as without:
        without.setenv("PATH", str(tmp_path))
        assert shutil.which("ssh") is None
        assert name_of("office")


def test_who_is_not_let_in_leaves_nothing_behind(office):
    (office.home / ".ssh" / "authorized_keys").unlink()
    refusal("office", AuthenticationError)
