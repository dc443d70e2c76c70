import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from rlmaster.errors import HostError
from rlmaster.hosts.local import start_worker
from rlmaster.hosts.tmux import SOCKET_VARIABLE
from rlmaster.run_lock import lock_folder

STAND_IN = '''
"""Says how it was started, and stays until it is told to go."""
import json, os, sys
from pathlib import Path
run = Path(sys.argv[1])
said = {
    "pid": os.getpid(), "session": os.getsid(0), "parent": os.getppid(), "folder": os.getcwd(),
    "arguments": sys.argv, "environment": dict(os.environ), "file": __file__,
    "terminals": [os.isatty(descriptor) for descriptor in range(3)],
}
with open(run / "starts", "a") as starts:
    starts.write("x")
sys.stderr.write("a word on stderr\\n")
(run / "part").write_text(json.dumps(said))
(run / "part").rename(run / "said.json")
(run / "go").read_text()
'''


@pytest.fixture
def run_path(tmp_path: Path, own_locks: Path) -> Path:
    path = tmp_path / "rüns of 'mine' $(id)" / "20260101-120000-abc234"
    path.mkdir(parents=True)
    os.mkfifo(path / "go")
    (path / "log.txt").write_text("what was there\n")
    return path


@pytest.fixture
def code_folder(tmp_path: Path) -> Path:
    package = tmp_path / 'cöde; "here" #(id)' / "rlmaster"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "worker.py").write_text(STAND_IN)
    return package.parent


@pytest.fixture
def said(run_path: Path) -> Iterator[Any]:
    """Return a function that waits for the worker's words; the worker goes at the end."""

    def read() -> dict[str, Any]:
        wait_until((run_path / "said.json").exists)
        return json.loads((run_path / "said.json").read_text())

    yield read
    os.kill(read()["pid"], signal.SIGKILL)


@pytest.fixture
def without_tmux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH that has what a worker needs, and no tmux."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("rm", "env"):
        (programs / name).symlink_to(shutil.which(name) or pytest.fail(f"there is no {name}"))
    monkeypatch.setenv("PATH", str(programs))


@pytest.mark.system
def test_worker_runs_in_tmux_with_its_run_its_code_and_a_terminal(
    tmux_server, run_path, code_folder, said
):
    started = start_worker(run_path, python=sys.executable, code_folder=code_folder)
    assert (started.how, started.note) == ("tmux", "")
    assert started.attach_command == (
        f"tmux -L {tmux_server} attach-session -t 20260101-120000-abc234"
    )
    words = said()
    assert words["arguments"][1:] == [str(run_path)]
    assert words["folder"] == str(code_folder)
    assert words["file"] == str(code_folder / "rlmaster" / "worker.py")
    assert words["terminals"] == [True, True, False]
    assert words["session"] != os.getsid(0)
    assert words["environment"]["PYTHONUNBUFFERED"] == "1"


@pytest.mark.system
def test_stderr_of_the_worker_is_appended_to_the_log(tmux_server, run_path, code_folder, said):
    start_worker(run_path, python=sys.executable, code_folder=code_folder)
    said()
    assert (run_path / "log.txt").read_text() == "what was there\na word on stderr\n"


@pytest.mark.system
def test_worker_has_the_environment_of_its_launcher_under_an_older_server(
    tmux_server, tmp_path, run_path, code_folder, said, monkeypatch
):
    monkeypatch.setenv("RLMASTER_OLD", "from before")
    other = tmp_path / "20260101-110000-xyz567"
    other.mkdir()
    os.mkfifo(other / "go")
    start_worker(other, python=sys.executable, code_folder=code_folder)

    monkeypatch.delenv("RLMASTER_OLD")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("TMUX", "/tmp/somewhere,1,0")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    monkeypatch.setenv("LONG", "ü'\n" * 10_000)  # more than tmux takes as a command
    start_worker(run_path, python=sys.executable, code_folder=code_folder)
    environment = said()["environment"]
    assert environment.keys() == (os.environ.keys() - {"TMUX"}) | {"PYTHONUNBUFFERED"} | set(
        filter({"LC_CTYPE"}.__contains__, environment)  # Python adds it where LANG is C
    )
    assert environment["CUDA_VISIBLE_DEVICES"] == "3"
    assert environment["LONG"] == os.environ["LONG"]
    assert environment["PYTHONPATH"] == f"{code_folder}:/mine"


@pytest.mark.system
def test_second_start_of_a_run_leaves_the_first_alone(tmux_server, run_path, code_folder, said):
    start_worker(run_path, python=sys.executable, code_folder=code_folder)
    first = said()["pid"]
    again = start_worker(run_path, python=sys.executable, code_folder=code_folder)
    assert (again.how, again.note) == ("tmux", "a worker of this run was in tmux already")
    os.kill(first, 0)
    assert (run_path / "starts").read_text() == "x"
    assert not list(lock_folder().glob(f"{run_path.name}.*"))


def test_without_tmux_the_worker_has_its_own_session(without_tmux, run_path, code_folder, said):
    started = start_worker(run_path, python=sys.executable, code_folder=code_folder)
    assert (started.how, started.attach_command) == ("setsid", None)
    assert started.note == (
        "tmux is not installed, so the worker has no terminal that one could attach to"
    )
    words = said()
    assert words["session"] == words["pid"]
    assert words["terminals"] == [False, False, False]
    assert words["folder"] == str(code_folder)
    assert (run_path / "log.txt").read_text().endswith("a word on stderr\n")
    assert not list(lock_folder().glob(f"{run_path.name}.*"))


@pytest.mark.system
@pytest.mark.parametrize(
    ("socket", "words"),
    [("x" * 200, "File name too long"), ("no/such/folder", "No such file or directory")],
)
def test_a_tmux_that_fails_is_replaced_and_quoted(
    tmux_server, run_path, code_folder, said, monkeypatch, socket, words
):
    monkeypatch.setenv(SOCKET_VARIABLE, socket)
    started = start_worker(run_path, python=sys.executable, code_folder=code_folder)
    assert started.how == "setsid"
    assert started.note.startswith("tmux: ")
    assert words in started.note
    said()


@pytest.mark.parametrize(
    ("python", "words"),
    [("/no/such/python", "/no/such/python"), (sys.executable, "No module named rlmaster.worker")],
)
def test_a_worker_that_cannot_start_leaves_its_words_in_the_log(
    without_tmux, run_path, code_folder, python, words
):
    (code_folder / "rlmaster" / "worker.py").unlink()
    start_worker(run_path, python=python, code_folder=code_folder)
    wait_until(lambda: words in (run_path / "log.txt").read_text())


def test_python_may_be_under_the_home_folder_or_on_path(
    without_tmux, tmp_path, run_path, code_folder, said, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    python = tmp_path / "my python"
    python.write_text(f'#!/bin/sh\nRLMASTER_VIA=mine exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    start_worker(run_path, python="~/my python", code_folder=code_folder)
    assert said()["environment"]["RLMASTER_VIA"] == "mine"


def test_without_code_there_is_no_worker(tmp_path, run_path):
    with pytest.raises(HostError, match="holds no package rlmaster"):
        start_worker(run_path, python=sys.executable, code_folder=tmp_path)
