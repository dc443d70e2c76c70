"""Sessions with a host: its workspace, its Python, and the commands that run there."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from lab import LoopbackLab
from project_command import make_project

from rlmaster.errors import HostError
from rlmaster.fleet.session import HostSession
from rlmaster.hosts.inventory import Host
from rlmaster.placement import machine
from rlmaster.project import Project
from rlmaster.run_lock import FOLDER_VARIABLE

pytestmark = pytest.mark.system
Connect = Callable[..., HostSession]


@pytest.fixture
def office(lab):
    """A host."""
    return lab.add_host("office")


@pytest.fixture
def connect(office, tmp_path) -> Iterator[Connect]:
    """Connect to the host, as hosts.toml describes it."""
    project = Project(make_project(tmp_path / "project"))
    with ExitStack() as sessions:

        def connect_to_office(**facts: object) -> HostSession:
            host = Host("office", kind="ssh", **facts)  # type: ignore[arg-type]
            return sessions.enter_context(HostSession.connect(project, host))

        yield connect_to_office


@pytest.mark.usefixtures("namespaces")
def test_the_first_contact_makes_a_private_workspace_that_is_a_project(connect, office, lab):
    session = connect(cpu_slots=3, python=lab.python)

    workspace = office.home / "rlmaster-workspace"
    assert session.workspace == "/root/rlmaster-workspace"
    assert (session.computer, session.python) == ("office", lab.python)
    assert workspace.stat().st_mode & 0o777 == 0o700
    assert Project.containing(workspace / "runs") == Project(workspace)
    assert "cpu_slots = 3" in (workspace / "hosts.toml").read_text()


def test_later_contacts_bring_its_rules_up_to_date_unless_a_person_wrote_them(connect, office):
    hosts_file = office.home / "rlmaster-workspace" / "hosts.toml"

    connect(cpu_slots=3)
    connect(cpu_slots=4)
    assert "cpu_slots = 4" in hosts_file.read_text()
    hosts_file.write_text("# mine\n")
    connect(cpu_slots=5)
    assert hosts_file.read_text() == "# mine\n"


def test_a_workspace_behind_a_link_is_named_by_where_it_is(connect, office):
    (office.home / "disk").mkdir()
    (office.home / "work").symlink_to("/root/disk")

    assert connect(workspace="~/work/space").workspace == "/root/disk/space"


def test_a_workspace_that_cannot_be_made_is_a_sentence(connect):
    for workspace in ("/proc/nothing", "~nobody-of-that-name/x", "/dev/null/x"):
        with pytest.raises(HostError, match=r"office: .*(check who may|correct it in hosts)"):
            connect(workspace=workspace)


def test_commands_run_there_from_code_that_is_shipped_once(connect, lab):
    first = connect(python=lab.python)
    assert first.rlmaster("runs")["runs"] == []
    assert first.ship_tools() is None

    second = connect(python=lab.python)
    assert second.ship_tools() is None
    assert second.rlmaster("runs")["runs"] == []


def test_a_host_without_an_environment_says_what_makes_one(connect):
    with pytest.raises(HostError, match="`rlmaster hosts setup office` makes it"):
        _ = connect().python
    with pytest.raises(HostError, match=r"office has no Python /no/python; correct it in hosts"):
        _ = connect(python="/no/python").python


def test_commands_make_do_with_an_earlier_environment(connect, office, lab):
    connect()
    earlier = office.home / "rlmaster-workspace" / "environments" / "earlier" / "bin"
    earlier.mkdir(parents=True)
    (earlier / "python").write_text(f'#!/bin/sh\nexec "{lab.python}" "$@"\n')
    (earlier / "python").chmod(0o755)

    session = connect()

    assert session.rlmaster("runs")["runs"] == []
    with pytest.raises(HostError, match="hosts setup office"):
        _ = session.python


def test_a_host_that_says_nonsense_of_itself_is_refused(connect, saying):
    sound = {"workspace": "/w", "computer": "office", "machine": "office-1", "python": ""}
    for name, text in [
        ("workspace", "relative"),
        ("workspace", "/root/../etc"),
        ("workspace", "/root/\x1b[2J"),
        ("workspace", None),
        ("computer", "x" * 5000),
        ("computer", ""),
        ("machine", ["a"]),
        ("python", 7),
    ]:
        saying(json.dumps({**sound, name: text}))
        with pytest.raises(HostError, match=f"office says nothing sensible of its {name}"):
            connect()


def test_a_host_that_claims_to_be_this_project_is_given_nothing(connect, saying, tmp_path):
    claimed = {"workspace": str(tmp_path / "project"), "computer": "office", "machine": machine()}
    saying(json.dumps({**claimed, "python": "/bin/sh"}))
    with pytest.raises(HostError, match="is this project itself"):
        connect()


def test_this_computer_itself_is_no_host(tmp_path, own_locks, monkeypatch):
    with LoopbackLab() as loopback:
        for name, text in loopback.environment.items():
            monkeypatch.setenv(name, text)
        loopback.add_host("office").set_environment({FOLDER_VARIABLE: str(own_locks)})
        project = Project(make_project(tmp_path / "project"))
        with pytest.raises(HostError, match='kind = "local"'):
            HostSession.connect(project, Host("office", kind="ssh"))


def test_garbage_is_a_sentence(connect, saying):
    for says in ("garbage", "[1]", "", "[" * 100_000):
        saying(says)
        with pytest.raises(HostError, match="office answered with something else than was asked"):
            connect()


@pytest.fixture
def saying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the host answer something else than our program there would."""

    def say(text: str) -> None:
        script = tmp_path / "script.py"
        script.write_text(f"print({text!r})\n")
        monkeypatch.setattr("rlmaster.fleet.session.SCRIPT", str(script))

    return say
