import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from rlmaster.fleet import settings
from rlmaster.fleet.settings import Settings
from rlmaster.hosts.inventory import Host

CONFIG = """\
Host office
    HostName 192.0.2.1
    IdentityFile {folder}/id
    UserKnownHostsFile {folder}/known_hosts
    IdentityAgent {folder}/agent
Host cellar
    ProxyJump office
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an ssh configuration and what it names."""
    for program in ("ssh", "ssh-keygen", "ssh-agent"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    (tmp_path / "config").write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "known_hosts").write_text("")
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(tmp_path / "id")], check=True)
    monkeypatch.setenv("RLMASTER_SSH_CONFIG", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def agent(folder: Path) -> Iterator[None]:
    """An agent that holds nothing."""
    command = ["ssh-agent", "-D", "-a", str(folder / "agent")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until((folder / "agent").exists)
        yield
        process.terminate()


def add_key(folder: Path) -> None:
    environment = {**os.environ, "SSH_AUTH_SOCK": str(folder / "agent")}
    subprocess.run(["ssh-add", "-q", str(folder / "id")], env=environment, check=True)


CHANGES: dict[str, Callable[[Path], object]] = {
    "the configuration": lambda folder: (folder / "config").write_text("Host office\n"),
    "known hosts": lambda folder: (folder / "known_hosts").write_text("office ssh-ed25519 AAAA\n"),
    "a key": lambda folder: (folder / "id").write_text("another one"),
    "a certificate": lambda folder: (folder / "id-cert.pub").write_text("it is let in"),
    "a key of the agent": add_key,
}


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("host", ["office", "cellar"])
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_a_person_mends_is_seen(folder, host, change):
    found = Settings(Host(host, "ssh"))
    assert not found.have_changed()
    assert not found.have_changed()

    CHANGES[change](folder)

    assert found.have_changed()


def test_another_file_of_the_configuration_is_seen_after_a_while(folder, monkeypatch):
    (folder / "config").write_text(f"Include {folder}/more\n")
    monkeypatch.setattr(settings, "RESOLVE_EVERY_S", 0.0)
    found = Settings(Host("attic", "ssh"))
    assert not found.have_changed()

    (folder / "more").write_text("Host attic\n    HostName 192.0.2.7\n")

    assert found.have_changed()
