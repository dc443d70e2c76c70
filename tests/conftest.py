"""What all tests share: a project, the command `rlmaster` in it, and a run that has finished.

What a test starts has its own tmux server and its own folder for locks, and is ended with it.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from desktop_session import bus, desktop
from hypothesis import settings
from lab.fixtures import lab, namespaces
from project_command import RATIONALE, Rlmaster, make_project, make_repository, rlmaster_in
from push_receiver import Receiver, receiving

from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import FOLDER_VARIABLE
from rlmaster.run_status import FINAL_STATES

__all__ = ["bus", "desktop", "lab", "namespaces"]  # fixtures that every folder may ask for

# Threads of torch that wait for each other on cores which other tests use make all take longer.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nobody is pushed a notice of what a test does.
os.environ["RLMASTER_CONFIG"] = os.devnull
# Nor do the person's own hosts take part.
os.environ["RLMASTER_HOSTS"] = os.devnull

settings.register_profile("shared-cores", deadline=None, max_examples=50)
settings.load_profile("shared-cores")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the whole test session: the canonical frames of a game are played once."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    os.environ["RLMASTER_CACHE"] = str(shared / "cache")
    return shared / "cache"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with hosts.toml and experiments/tiny.py; not a git repository."""
    return make_project(tmp_path / "project ü")


@pytest.fixture
def git_project(project: Path) -> Path:
    """The same in a git repository, all committed."""
    make_repository(project)
    return project


@pytest.fixture
def rlmaster(project: Path) -> Iterator[Rlmaster]:
    """The command `rlmaster` in the project."""
    with rlmaster_in(project) as command:
        yield command


@pytest.fixture
def same_environment(rlmaster: Rlmaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test's own process the environment of the command, with its locks."""
    for name, text in rlmaster.environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A push service on this computer."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with receiving() as service:
        yield service


@pytest.fixture
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for run locks that no other test uses."""
    folder = tmp_path / "locks"
    folder.mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return folder


@dataclass(frozen=True)
class FinishedRun:
    """A tiny run that was really launched and followed to its end; to be read, never changed."""

    folder: RunFolder
    project: Path
    answer: dict[str, Any]
    """What `rlmaster launch --follow --json` said on stdout."""
    stderr: str
    """What it told the person."""
    report_was_there: bool
    """Whether the report existed when the answer came."""


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """One tiny run for the whole test session, whichever of its processes asks first."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    project = shared / "finished rün"
    kept = project / "kept.json"
    with (shared / "finished_run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_text(json.dumps(_launch_and_follow(make_project(project))))
        answer = json.loads(kept.read_text())
    folder = RunFolder(Path(answer["answer"]["run_folder"]))
    assert folder.status().state in FINAL_STATES
    return FinishedRun(folder, project, **answer)


def _launch_and_follow(project: Path) -> dict[str, Any]:
    given = ["--rationale", RATIONALE, "--host", "local", "--yes", "--set", "seed=7"]
    command = [sys.executable, "-m", "rlmaster", "launch", "tiny", *given, "--follow", "--json"]
    with rlmaster_in(project) as rlmaster, (rlmaster.scratch / "stderr").open("w+") as stderr:
        with subprocess.Popen(
            command,
            cwd=project,
            env=rlmaster.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as launch:
            assert launch.stdout is not None
            line = launch.stdout.readline()
            answer = json.loads(line or "{}")
            report = Path(answer.get("run_folder", ""), "report", "report.tex").is_file()
            line += launch.stdout.read()
        stderr.seek(0)
        said = stderr.read()
        assert launch.returncode == 0, said
        assert json.loads(line) == answer  # there was nothing else
    return {"answer": answer, "stderr": said, "report_was_there": report}
