import os
import subprocess
from pathlib import Path

import pytest
from changed_hosts import Leftovers, add_name, let_in, set_up

from rlmaster.errors import AuthenticationError, HostError
from rlmaster.ssh.connection import Connection
from rlmaster.ssh.keys import AskPassphrase

pytestmark = pytest.mark.system

PASSPHRASE = "open sesame ü"


def is_let_in(name: str, ask: AskPassphrase | None = None) -> bool:
    with Connection.open(name, timeout_s=30, ask=ask) as connection:
        return connection.execute("true", timeout_s=30).exit_code == 0


def refusal(name: str, ask: AskPassphrase | None = None) -> str:
    """Return why an account is not let in, which leaves nothing behind."""
    leftovers = Leftovers()
    with pytest.raises(AuthenticationError) as caught:
        Connection.open(name, timeout_s=30, ask=ask)
    assert leftovers.vanish()
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("arguments", ["-t ed25519", "-t ecdsa -b 384", "-t rsa -b 2048"])
@pytest.mark.parametrize("by_agent", [False, True])
def test_keys_of_every_kind_are_taken(lab, office, make_key, agent, arguments, by_agent):
    key = make_key("id", *arguments.split())
    let_in(office, key.with_suffix(".pub"))
    add_name(lab, "desk", office, f"IdentityFile {key}", f"IdentityAgent {agent.socket}")
    if by_agent:
        agent.add(key)
        key.unlink()
    assert is_let_in("desk")


def test_an_encrypted_key_is_asked_for_once(lab, office, make_key):
    key = make_key(passphrase=PASSPHRASE)
    let_in(office, key.with_suffix(".pub"))
    add_name(lab, "desk", office, f"IdentityFile {key}", "IdentityAgent none")
    asked: list[str] = []

    def ask(file: str) -> str:
        asked.append(file)
        return PASSPHRASE

    assert is_let_in("desk", ask)
    assert is_let_in("desk")
    assert asked == [str(key)]


def test_with_nobody_to_ask_it_is_said_what_helps_and_that_helps(lab, office, make_key, agent):
    key = make_key(passphrase=PASSPHRASE)
    let_in(office, key.with_suffix(".pub"))
    add_name(lab, "desk", office, f"IdentityFile {key}", f"IdentityAgent {agent.socket}")
    assert refusal("desk") == (
        f"desk does not let {office.user} in: {key} is encrypted, and nobody is here to ask; "
        f"run `ssh-add {key}`"
    )
    agent.add(key, PASSPHRASE)
    assert is_let_in("desk")


def certify(key: Path, authority: Path, *principals: str) -> None:
    names = ",".join(principals)
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", names, str(key)]
    subprocess.run([*command[:-1], f"{key}.pub"], check=True)


@pytest.mark.parametrize("arguments", ["-t ed25519", "-t rsa -b 2048"])
@pytest.mark.parametrize("by_agent", [False, True])
def test_a_certificate_is_taken(lab, office, make_key, agent, arguments, by_agent):
    authority, key = make_key("authority"), make_key("id", *arguments.split())
    certify(key, authority, office.user)
    line = f"cert-authority {authority.with_suffix('.pub').read_text()}"
    (office.home / ".ssh" / "authorized_keys").write_text(line)
    add_name(lab, "desk", office, f"IdentityFile {key}", f"IdentityAgent {agent.socket}")
    if by_agent:
        agent.add(key)
        key.unlink()
        key.with_name(f"{key.name}-cert.pub").unlink()
    assert is_let_in("desk")


def test_a_certificate_for_somebody_else_does_not_spoil_its_key(lab, office, make_key):
    authority, key = make_key("authority"), make_key()
    certify(key, authority, "somebody-else")
    let_in(office, key.with_suffix(".pub"))
    add_name(lab, "desk", office, f"IdentityFile {key}", "IdentityAgent none")
    assert is_let_in("desk")


def test_who_is_not_let_in_is_told_what_was_tried_and_what_to_do(lab, office, make_key, agent):
    one, other = make_key("one"), make_key("other")
    agent.add(other)
    files = [f"IdentityFile {one}", f"IdentityFile {lab.folder}/none"]
    add_name(lab, "desk", office, *files, f"IdentityAgent {agent.socket}")
    assert refusal("desk") == (
        f"desk does not let {office.user} in with {one}, other of the ssh-agent; let it know the "
        f"key with `ssh-copy-id -F {lab.ssh_config} desk`"
    )


def test_who_has_no_key_is_told_how_to_make_one(lab, office):
    add_name(lab, "desk", office, f"IdentityFile {lab.folder}/none", "IdentityAgent none")
    assert refusal("desk") == (
        f"desk does not let {office.user} in, since there is no key; make one with `ssh-keygen`, "
        f"then `ssh-copy-id -F {lab.ssh_config} desk`"
    )


def test_too_many_keys_are_a_matter_of_the_configuration(lab, office, make_key, agent):
    set_up(office, "MaxAuthTries 2")
    for number in range(4):
        agent.add(make_key(f"key-{number}"))
    add_name(lab, "desk", office, "IdentityFile /none", f"IdentityAgent {agent.socket}")
    said = refusal("desk")
    assert said.startswith("desk ended the connection after 2 keys (key-0 of the ssh-agent, key-1")
    assert said.endswith("with IdentityFile and IdentitiesOnly yes")
    add_name(lab, "table", office, f"IdentityFile {lab.key}", f"IdentityAgent {agent.socket}")
    assert is_let_in("table")


def test_a_password_is_never_given(office):
    set_up(office, "PubkeyAuthentication no", "PasswordAuthentication yes")
    assert refusal("office") == (
        "office lets nobody in with a key, only by password; ask who looks after it"
    )


def test_a_second_factor_is_named(office):
    set_up(office, "AuthenticationMethods publickey,password", "PasswordAuthentication yes")
    said = refusal("office")
    assert said.endswith("but also wants password, which only a person can give")


def test_an_agent_that_will_not_sign_is_one_sentence(lab, office, make_key, agent):
    key = make_key()
    let_in(office, key.with_suffix(".pub"))
    # Asks before each use, with no program that could ask.
    environment = {**os.environ, "SSH_AUTH_SOCK": str(agent.socket)}
    subprocess.run(["ssh-add", "-q", "-c", str(key)], env=environment, check=True)
    add_name(lab, "desk", office, f"IdentityFile {key}", f"IdentityAgent {agent.socket}")
    with pytest.raises(
        HostError, match=r"desk .* while .* was logging in with id of the ssh-agent"
    ):
        Connection.open("desk", timeout_s=30)
