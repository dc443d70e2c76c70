import base64
import hashlib
import hmac
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmaster.errors import HostKeyError
from rlmaster.ssh.address import Address
from rlmaster.ssh.known_hosts import HostKey, KnownHosts, parse_known_hosts

PATH = Path("/home/ada/known hosts")
OFFICE = Address("office", "Office.Example", 22, "ada")
OTHER_PORT = Address("office", "office.example", 2222, "ada")


def key(content: str, key_type: str = "ssh-ed25519") -> HostKey:
    """Return a key that is as good as any here, since only its bytes are compared."""
    name = key_type.encode()
    return HostKey(key_type, len(name).to_bytes(4, "big") + name + content.encode())


A, B, RSA = key("a"), key("b"), key("a", "ssh-rsa")


def line(names: str, known: HostKey, marker: str = "") -> str:
    return f"{marker} {names} {known.type} {base64.b64encode(known.blob).decode()} a comment\n"


def hashed(name: str) -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def known(text: str, address: Address = OFFICE) -> KnownHosts:
    return KnownHosts(address, parse_known_hosts(text, PATH))


def is_trusted(text: str, address: Address = OFFICE, shown: HostKey = A) -> bool:
    try:
        known(text, address).check(shown)
    except HostKeyError:
        return False
    return True


@pytest.mark.parametrize(
    "names",
    [
        "office.example",
        "OFFICE.example",
        "other,office.example",
        "*.example",
        "off?ce.*",
        "*,!other.example",
        hashed("office.example"),
    ],
)
def test_a_known_key_is_trusted(names):
    assert is_trusted(line(names, A))


@pytest.mark.parametrize(
    "names",
    [
        "office",
        "office.example.org",
        "office-example",
        "[office.example]:2222",
        "*,!office.example",
        "*.example,!off*",
        "!other.example",
        hashed("other.example"),
        "|1|x|y",
        "|2|" + hashed("office.example")[3:],
    ],
)
def test_a_key_that_is_known_of_others_is_not(names):
    with pytest.raises(HostKeyError, match="office is not trusted: its key is not known yet"):
        known(line(names, A)).check(A)


def test_a_port_of_its_own_is_part_of_the_name():
    assert is_trusted(line("[office.example]:2222", A), OTHER_PORT)
    assert is_trusted(line(hashed("[office.example]:2222"), A), OTHER_PORT)
    assert not is_trusted(line("[office.example]:22222", A), OTHER_PORT)


def test_a_line_without_a_port_counts_where_none_has_it():
    bare, with_port = line("office.example", A), line("[office.example]:2222", B)
    assert is_trusted(bare, OTHER_PORT)
    assert not is_trusted(bare + with_port, OTHER_PORT)


def test_an_alias_is_the_name():
    aliased = Address("office", "10.0.0.1", 2222, "ada", host_key_alias="the-office")
    assert is_trusted(line("the-office", A), aliased)
    assert not is_trusted(line("[10.0.0.1]:2222", A), aliased)


def test_a_changed_key_is_refused_with_the_line_and_the_way_out():
    text = "# comment\n" + line("office.example", A)
    with pytest.raises(HostKeyError) as caught:
        known(text).check(B)
    assert str(caught.value) == (
        "office shows another key than the one that is known (/home/ada/known hosts, line 2): it "
        "was set up anew, or somebody else answers in its place; only if you know it to be right "
        f"({B.fingerprint}), run `ssh-keygen -f '/home/ada/known hosts' -R office.example`,"
        " then `ssh office true`"
    )


def test_any_of_several_known_keys_will_do():
    assert is_trusted(line("office.example", B) + line("office.example", A))


def test_an_unknown_key_is_refused_with_its_fingerprint_and_what_to_do():
    with pytest.raises(HostKeyError) as caught:
        known("").check(A)
    assert str(caught.value) == (
        "office is not trusted: its key is not known yet; run `ssh office true` once in a "
        f"terminal, and compare the fingerprint (here it was {A.fingerprint})"
    )


def test_a_key_of_another_type_is_not_called_changed():
    with pytest.raises(HostKeyError, match=r"its ssh-rsa key is not known, but another one is \(/"):
        known(line("office.example", A)).check(RSA)


def test_a_revoked_key_is_refused_though_another_line_knows_it():
    text = line("office.example", A) + line("*", A, "@revoked")
    with pytest.raises(HostKeyError, match=r"shows a key that is revoked \(.*, line 2\)"):
        known(text).check(A)
    assert is_trusted(text.replace("* ssh", "!office.example,* ssh"))
    assert is_trusted(line("office.example", A) + line("*", B, "@revoked"))


def test_a_certificate_authority_vouches_for_nobody_here():
    text = line("*.example", A, "@cert-authority")
    with pytest.raises(HostKeyError, match="by a certificate authority alone, which cannot be"):
        known(text).check(A)


def test_known_types_are_negotiated_first():
    offered = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
    assert known("").preferred(offered) == list(offered)
    text = line("office.example", RSA) + line("other", B)
    assert known(text).preferred(offered) == [*offered[2:], *offered[:2]]
    text = line("office.example", RSA, "@revoked")
    assert known(text).preferred(offered) == list(offered)


def test_broken_lines_are_passed_over():
    broken = [
        "",
        "# office.example ssh-ed25519 AAAA",
        "office.example",
        "office.example ssh-ed25519",
        "office.example ssh-ed25519 %%%",
        line("office.example", A).replace("ssh-ed25519", "ssh-rsa"),
        line("office.example", A, "@unknown-marker"),
        line(",", A),
    ]
    assert not list(parse_known_hosts("\n".join(broken), PATH))
    assert is_trusted("\n".join([*broken, line("office.example", A)]))


@given(st.text(max_size=80) | st.text("|1=@!*?,# \n\tA", max_size=40))
def test_no_text_is_too_broken_or_trusts_anybody(text):
    assert not is_trusted(text)


def test_a_file_that_is_not_there_knows_nobody_and_one_that_is_unreadable_is_named(tmp_path):
    nowhere = Address("office", "office", 22, "ada", known_hosts_files=(tmp_path / "none",))
    with pytest.raises(HostKeyError, match="its key is not known yet"):
        KnownHosts.of(nowhere).check(A)
    folder = Address("office", "office", 22, "ada", known_hosts_files=(tmp_path,))
    with pytest.raises(HostKeyError, match=f"{tmp_path} cannot be read: Is a directory"):
        KnownHosts.of(folder)


@pytest.mark.system
@pytest.mark.parametrize("key_type", ["ed25519", "ecdsa", "rsa"])
def test_openssh_shows_the_same_fingerprint_and_hashes_names_alike(tmp_path, key_type):
    if shutil.which("ssh-keygen") is None:
        pytest.skip("OpenSSH's client is not installed")

    def ssh_keygen(*arguments: str) -> str:
        return subprocess.run(
            ["ssh-keygen", *arguments], check=True, capture_output=True, text=True
        ).stdout

    ssh_keygen("-q", "-t", key_type, "-N", "", "-f", str(tmp_path / "key"))
    name, content, _ = (tmp_path / "key.pub").read_text().split(maxsplit=2)
    shown = HostKey(name, base64.b64decode(content))
    assert shown.fingerprint in ssh_keygen("-l", "-f", str(tmp_path / "key.pub"))
    file = tmp_path / "known"
    file.write_text(f"office.example,[office.example]:2222 {name} {content}\n")
    ssh_keygen("-H", "-f", str(file))
    assert "office" not in file.read_text()
    assert is_trusted(file.read_text(), OFFICE, shown)
    assert is_trusted(file.read_text(), OTHER_PORT, shown)
