"""What the tests of SSH share: a host, keys that OpenSSH makes, and an agent that holds some."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import Lab, LabHost
from waiting import wait_until

from rlmaster.ssh import keys


@pytest.fixture(autouse=True)
def nobody_knows_a_passphrase_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin like a new process, at no terminal and without an agent."""
    monkeypatch.setattr(keys, "_unlocked", keys.UnlockedKeys())
    for name in ("SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def office(lab: Lab) -> LabHost:
    """A host of the lab."""
    return lab.add_host("office")


@pytest.fixture
def make_key(tmp_path: Path) -> Callable[..., Path]:
    """Make a key as OpenSSH does: `make_key("name", "-t", "rsa", passphrase="...")`."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("OpenSSH's client is not installed")

    def make(name: str = "id", *arguments: str, passphrase: str = "") -> Path:
        path = tmp_path / name
        kind = arguments or ("-t", "ed25519")
        command = ["ssh-keygen", "-q", *kind, "-N", passphrase, "-C", name, "-f", str(path)]
        subprocess.run(command, check=True)
        return path

    return make


class Agent:
    """A running ssh-agent."""

    def __init__(self, socket: Path, process: subprocess.Popen[bytes]) -> None:
        self.socket = socket
        self.process = process

    def answers(self) -> bool:
        """Tell whether it says that it holds nothing."""
        environment = {**os.environ, "SSH_AUTH_SOCK": str(self.socket)}
        asked = subprocess.run(["ssh-add", "-l"], env=environment, capture_output=True, check=False)
        return asked.returncode == 1

    def add(self, key: Path, passphrase: str = "") -> None:
        """Let it hold a key, with its certificate where there is one."""
        asking = key.with_name("askpass")
        asking.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
        asking.chmod(0o700)
        changes = {"SSH_AUTH_SOCK": str(self.socket), "SSH_ASKPASS": str(asking)}
        environment = {**os.environ, **changes, "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True)


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An ssh-agent that holds nothing yet."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("OpenSSH's client is not installed")
    # Its socket's path is limited in length.
    with tempfile.TemporaryDirectory(prefix="agent-", dir="/tmp") as folder:
        socket = Path(folder, "socket")
        command = ["ssh-agent", "-D", "-a", str(socket)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            agent = Agent(socket, process)
            wait_until(agent.answers)
            yield agent
            process.kill()
