import base64
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import paramiko
import pytest
from paramiko.message import Message

from rlmaster.ssh.address import Address
from rlmaster.ssh.agent import Agent, AgentError
from rlmaster.ssh.deadline import Deadline
from rlmaster.ssh.keys import AskPassphrase, Keys

pytestmark = pytest.mark.system

ALGORITHMS = dict.fromkeys(("-t rsa -b 2048", "-t rsa -b 2048 -m PEM"), "rsa-sha2-512")
PASSPHRASE = "open sesame ü"


def keys_of(
    files: Sequence[Path] = (),
    ask: AskPassphrase | None = None,
    *,
    agent: Path | str = "",
    only: bool = False,
) -> Keys:
    address = Address("office", "office", 22, "ada", tuple(files), only, str(agent))
    return Keys(address, Deadline(30), ask)


def labels(keys: Keys) -> list[str]:
    return [key.label for key in keys.in_order()]


def is_signed_with(file: Path, signature: Message) -> bool:
    """Tell whether x was signed with a key, of which only the public half is looked at."""
    kind, content, _ = file.with_suffix(".pub").read_text().split()
    public = paramiko.PKey.from_type_string(kind, base64.b64decode(content))
    return public.verify_ssh_sig(b"x", Message(signature.asbytes()))


class Person:
    """Somebody who is asked, and answers in turn."""

    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, file: str) -> str | None:
        self.asked.append(file)
        return self.answers.pop(0)


@pytest.mark.parametrize(
    "arguments", ["-t ed25519", "-t ecdsa -b 521", "-t rsa -b 2048", "-t rsa -b 2048 -m PEM"]
)
@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_keys_of_every_kind_are_read(make_key, arguments, passphrase):
    file = make_key("id", *arguments.split(), passphrase=passphrase)
    (found,) = keys_of([file], Person(passphrase)).in_order()
    assert found.label == str(file)
    assert is_signed_with(file, found.key.sign_ssh_data(b"x", ALGORITHMS.get(arguments)))


def test_a_passphrase_is_asked_for_once_in_the_life_of_the_process(make_key):
    file = make_key(passphrase=PASSPHRASE)
    person = Person("wrong", PASSPHRASE)
    assert labels(keys_of([file], person)) == [str(file)]
    assert labels(keys_of([file], person)) == [str(file)]
    assert person.asked == [str(file)] * 2


def test_several_connections_ask_once_together(make_key):
    file = make_key(passphrase=PASSPHRASE)
    person = Person(PASSPHRASE)
    found: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: found.append(labels(keys_of([file], person))))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[str(file)]] * 5
    assert len(person.asked) == 1


@pytest.mark.parametrize("answers", [(None,), ("",), ("wrong",) * 3])
def test_who_does_not_know_it_is_not_asked_for_ever(make_key, answers):
    file = make_key(passphrase=PASSPHRASE)
    person = Person(*answers)
    for _ in range(2):
        keys = keys_of([file], person)
        assert labels(keys) == []
        assert keys.problems == [f"{file} is encrypted, and its passphrase was not given"]
    assert len(person.asked) == len(answers)


def test_the_time_in_which_a_person_thinks_does_not_count(make_key, monkeypatch):
    file = make_key(passphrase=PASSPHRASE)
    now_s = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now_s[0])
    monkeypatch.setattr("rlmaster.ssh.deadline.time", clock)
    deadline = Deadline(10)
    now_s[0] = 2

    def ask(_: str) -> str:
        now_s[0] += 500
        return PASSPHRASE

    address = Address("office", "office", 22, "ada", (file,))
    assert [key.label for key in Keys(address, deadline, ask).in_order()] == [str(file)]
    assert deadline.left_s == 8


def test_with_nobody_to_ask_it_is_said_what_helps(make_key):
    locked, plain = make_key("locked", passphrase=PASSPHRASE), make_key("plain")
    keys = keys_of([locked, plain])
    assert labels(keys) == [str(plain)]
    assert keys.problems == [
        f"{locked} is encrypted, and nobody is here to ask; run `ssh-add {locked}`"
    ]


def test_a_person_is_asked_only_after_all_else_has_failed(make_key):
    locked, plain = make_key("locked", passphrase=PASSPHRASE), make_key("plain")
    person = Person(PASSPHRASE)
    found = keys_of([locked, plain], person).in_order()
    assert next(found).label == str(plain)
    assert person.asked == []
    assert next(found).label == str(locked)


@pytest.fixture
def window(tmp_path, monkeypatch) -> Callable[[str], Path]:
    """Let a script be what asks by a window."""

    def write(script: str) -> Path:
        path = tmp_path / "ask by window"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setenv("SSH_ASKPASS", str(path))
        monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
        return path

    return write


def test_a_window_asks_where_the_environment_says_so(make_key, window, tmp_path):
    file = make_key(passphrase=PASSPHRASE)
    window(f"printf '%s\\n' \"$1\" >> '{tmp_path}/asked'; echo '{PASSPHRASE}'")
    assert labels(keys_of([file])) == [str(file)]
    asked = (tmp_path / "asked").read_text()
    assert asked == f"Enter passphrase for key '{file}': \n"


@pytest.mark.parametrize("script", ["exit 1", "exec sleep 600"])
def test_a_window_that_is_closed_or_that_nobody_sees_is_no_answer(
    make_key, window, script, monkeypatch
):
    monkeypatch.setattr("rlmaster.ssh.keys.ASKPASS_S", 0.5)
    file = make_key(passphrase=PASSPHRASE)
    window(script)
    keys = keys_of([file])
    assert labels(keys) == []
    assert keys.problems == [f"{file} is encrypted, and its passphrase was not given"]


def test_no_window_opens_where_nobody_wants_one(make_key, window, monkeypatch):
    file = make_key(passphrase=PASSPHRASE)
    window(f"echo '{PASSPHRASE}'")
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "never")
    assert labels(keys_of([file])) == []
    monkeypatch.delenv("SSH_ASKPASS_REQUIRE")  # and no screen
    assert labels(keys_of([file])) == []


def test_a_file_that_is_no_key_is_named_with_what_helps(tmp_path, make_key):
    garbage, folder = tmp_path / "garbage", tmp_path / "folder"
    garbage.write_text("-----BEGIN NONSENSE-----\n")
    folder.mkdir()
    plain = make_key("plain")
    keys = keys_of([tmp_path / "none", garbage, folder, plain])
    assert labels(keys) == [str(plain)]
    assert keys.problems == [
        f"{garbage} is in a form that cannot be used here; `ssh-add {garbage}` may help, or "
        f"`ssh-keygen -p -f {garbage}`, which writes it anew",
        f"{folder} cannot be read (Is a directory)",
    ]


def test_keys_of_the_agent_come_first_where_a_file_names_them(agent, make_key):
    named, other, plain = make_key("named", passphrase=PASSPHRASE), make_key("other"), make_key()
    agent.add(other)
    agent.add(named, PASSPHRASE)
    found = labels(keys_of([plain, named], agent=agent.socket))
    assert found == ["named of the ssh-agent", str(plain), "other of the ssh-agent"]
    found = labels(keys_of([plain, named], agent=agent.socket, only=True))
    assert found == ["named of the ssh-agent", str(plain)]


def test_a_file_that_is_only_the_public_half_names_a_key_of_the_agent(agent, make_key):
    file = make_key()
    agent.add(file)
    file.unlink()
    public = file.with_suffix(".pub")
    for path in (file, public):
        assert labels(keys_of([path], agent=agent.socket, only=True)) == ["id of the ssh-agent"]


@pytest.mark.parametrize("arguments", ["-t ed25519", "-t ecdsa", "-t rsa -b 2048"])
def test_the_agent_signs(agent, make_key, arguments):
    file = make_key("id", *arguments.split())
    agent.add(file)
    (held,) = Agent(str(agent.socket), 10).held_keys()
    for algorithm in ("rsa-sha2-512", "rsa-sha2-256") if "rsa" in arguments else (None,):
        signature = held.sign_ssh_data(b"x", algorithm)
        assert is_signed_with(file, signature)
        assert algorithm in (None, Message(signature.asbytes()).get_text())


def test_an_agent_that_hangs_or_is_gone_is_passed_over(agent, make_key, monkeypatch):
    monkeypatch.setattr("rlmaster.ssh.keys.AGENT_S", 0.5)
    plain = make_key()
    agent.process.send_signal(signal.SIGSTOP)
    keys = keys_of([plain], agent=agent.socket)
    assert labels(keys) == [str(plain)]
    assert keys.problems == ["the ssh-agent does not answer (it did not answer in time)"]
    keys = keys_of([plain], agent="/nowhere")
    assert labels(keys) == [str(plain)]
    assert keys.problems == ["the ssh-agent does not answer (No such file or directory)"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "it ended the conversation"),
        (b"\0\0\0\1\5", "it refuses"),
        (b"\xff\xff\xff\xff", "its answer is not that of an agent"),
        (b"\0\0\0\0", "its answer is not that of an agent"),
        (b"\0\0\0\5\x0c\xff\xff\xff\xff", "its answer is not that of an agent"),
        (b"\0\0\0\x0a\x0c\0\0\0\1\0\0\0\1x", "its answer is not that of an agent"),
    ],
)
def test_whatever_answers_in_an_agents_place_does_no_harm(tmp_path, monkeypatch, answer, problem):
    monkeypatch.chdir(tmp_path)  # since the path of a socket is limited
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        listener.listen()

        def respond() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(5)
                connection.sendall(answer)

        thread = threading.Thread(target=respond)
        thread.start()
        with pytest.raises(AgentError, match=problem):
            Agent("socket", 10).held_keys()
        thread.join()
