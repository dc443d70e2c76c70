import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_until

from rlmaster.errors import HostError
from rlmaster.ssh.address import (
    CONFIG_VARIABLE,
    Address,
    Target,
    resolve,
    route,
    split_paths,
)
from rlmaster.ssh.deadline import Deadline

CONFIG = """\
Host office
    HostName 10.1.2.3
    Port 2222
    User ada
    IdentityFile "~/.ssh/office key"
    IdentityFile %d/.ssh/id_%r
    IdentitiesOnly yes
    IdentityAgent ~/agent.sock
    HostKeyAlias The-Office
    ConnectTimeout 7
    ProxyCommand nc -X "a b" %h %p %%
    UserKnownHostsFile ~/known ~/known-%r
    GlobalKnownHostsFile /etc/known
Host far
    ProxyJump bob@first:23,second
Host first
    ProxyJump zeroth
Host second
    ProxyJump nowhere
Host plain
    ProxyCommand none
    IdentityAgent none
Host round
    ProxyJump about
Host about
    ProxyJump round
Host agent
    IdentityAgent $OTHER_AGENT
"""


@pytest.fixture(params=["OpenSSH", "Paramiko"])
def config(request, tmp_path, monkeypatch) -> Path:
    """A configuration, and who reads it: OpenSSH, or Paramiko where there is none."""
    if request.param == "Paramiko":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif shutil.which("ssh") is None:
        pytest.skip("OpenSSH's client is not installed")
    return write_config(tmp_path, monkeypatch, CONFIG)


def write_config(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    path = folder / "config"
    path.write_text(text)
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    return path


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, and at most waits to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def names(way: list[Address]) -> list[str]:
    return [address.name for address in way]


@pytest.mark.usefixtures("config")
def test_all_that_is_needed_is_looked_up():
    home = Path.home()
    assert resolve("office", Deadline(10)) == Address(
        name="office",
        host_name="10.1.2.3",
        port=2222,
        user="ada",
        identity_files=(home / ".ssh/office key", home / ".ssh/id_ada"),
        identities_only=True,
        agent_socket=str(home / "agent.sock"),
        known_hosts_files=(home / "known", home / "known-ada", Path("/etc/known")),
        host_key_alias="the-office",
        connect_timeout_s=7,
        proxy_command='nc -X "a b" 10.1.2.3 2222 %',
    )


@pytest.mark.usefixtures("config")
def test_what_an_address_says_itself_comes_first():
    address = resolve("bob@office:99", Deadline(10))
    assert (address.user, address.port, address.host_name) == ("bob", 99, "10.1.2.3")
    address = resolve("ann@[::1]:44", Deadline(10))
    assert (address.user, address.port, address.host_name) == ("ann", 44, "::1")


@pytest.mark.usefixtures("config")
def test_what_is_not_configured_is_as_usual(monkeypatch):
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    monkeypatch.setenv("OTHER_AGENT", "/other")
    address = resolve("elsewhere.example", Deadline(10))
    assert (address.host_name, address.port) == ("elsewhere.example", 22)
    assert Path.home() / ".ssh/id_ed25519" in address.identity_files
    assert Path.home() / ".ssh/known_hosts" in address.known_hosts_files
    assert address.agent_socket == "/agent"
    assert resolve("agent", Deadline(10)).agent_socket == "/other"
    plain = resolve("plain", Deadline(10))
    assert (plain.agent_socket, plain.proxy_command, plain.proxy_jump) == ("", "", ())


@pytest.mark.usefixtures("config")
def test_the_way_leads_through_jump_hosts_of_which_the_first_has_its_own():
    way = route("far", Deadline(10))
    assert names(way) == ["zeroth", "bob@first:23", "second", "far"]
    assert (way[1].user, way[1].port) == ("bob", 23)
    assert names(route("plain", Deadline(10))) == ["plain"]


@pytest.mark.usefixtures("config")
def test_a_way_in_a_circle_is_refused():
    with pytest.raises(HostError, match=r"way to round leads in a circle: look at ProxyJump of"):
        route("round", Deadline(10))


@pytest.mark.parametrize("match", ["", "Match all\n"])
def test_a_computer_that_is_its_own_jump_host_is_refused(tmp_path, monkeypatch, match):
    write_config(tmp_path, monkeypatch, f"{match}ProxyJump own")
    with pytest.raises(HostError, match=r"loop|circle"):
        route("own", Deadline(10))


@pytest.mark.usefixtures("config")
def test_a_configuration_that_cannot_be_read_is_one_sentence(config):
    config.write_bytes(b"Port \xff\xfe many\n")
    with pytest.raises(HostError, match="office cannot be looked up in the ssh configuration: "):
        resolve("office", Deadline(10))


@pytest.mark.system
def test_a_configuration_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    child = tmp_path / "child"
    write_config(tmp_path, monkeypatch, f'Match exec "echo $$ > {child}; exec sleep 600"\nPort 1\n')
    with pytest.raises(HostError, match=r"ssh did not answer in time \(2 s\)"):
        resolve("office", Deadline(2))
    wait_until(lambda: is_gone(int(child.read_text())))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("office", Target("office")),
        ("me@office.example:22", Target("office.example", "me", 22)),
        ("ssh://me@office:44/", Target("office", "me", 44)),
        ("[fe80::1%eth0]:22", Target("fe80::1%eth0", "", 22)),
        ("me@[::1]", Target("::1", "me")),
        ("fe80::1", Target("fe80::1")),
        ("10.0.0.1:1", Target("10.0.0.1", "", 1)),
    ],
)
def test_an_address_is_taken_apart(text, target):
    assert Target.parse(text) == target


@pytest.mark.parametrize(
    "text",
    [
        *("", "-oProxyCommand=x", "a@-b", "-a@b", "a@b@c"),
        *("a b", "a;b", "$(x)", "`x`", "a\nb", "a'b", "x\x1b[2J"),
        *("a:0", "a:65536", "office:ssh", "a:b:22:x/"),
    ],
)
def test_what_could_be_an_option_or_reach_a_shell_is_no_address(text):
    with pytest.raises(HostError, match="is no address of a computer; write a name") as caught:
        Target.parse(text)
    assert str(caught.value).isprintable()


@given(st.text(max_size=20) | st.from_regex(r"[-\w@:.\[\] ;$]{1,12}", fullmatch=True))
def test_any_text_is_an_address_that_is_harmless_or_none(text):
    try:
        target = Target.parse(text)
    except HostError:
        return
    assert not target.host.startswith("-")
    assert not target.user.startswith("-")
    assert not set(target.host + target.user) & set(" \n\"'`$;&|<>\\(){}")


def test_paths_that_openssh_prints_without_quotes_keep_their_spaces():
    assert split_paths("/root/my known ~/b %d/c") == ["/root/my known", "~/b", "%d/c"]
    assert split_paths('"/a b" /c') == ["/a b", "/c"]


@pytest.mark.usefixtures("config")
def test_there_may_be_no_file_of_known_hosts(config):
    config.write_text("UserKnownHostsFile none\nGlobalKnownHostsFile none\n")
    assert resolve("office", Deadline(10)).known_hosts_files == ()


def test_a_person_is_told_how_to_get_there_by_hand(monkeypatch):
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    assert Address("ada@office:44", "office", 44, "ada").ssh_command == "ssh -p 44 ada@office"
    monkeypatch.setenv(CONFIG_VARIABLE, "/my config")
    assert Address("office", "office", 44, "ada").ssh_command == "ssh -F '/my config' office"
