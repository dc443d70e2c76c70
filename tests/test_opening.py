import os
import threading
from pathlib import Path

import pytest
from waiting import wait_until

from rlmaster.opening import open_it, opener


@pytest.fixture
def desktop(tmp_path, monkeypatch):
    """Let a script be what opens files on a screen."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)

    def write(script: str) -> Path:
        program = tmp_path / "xdg-open"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return tmp_path / "opened"

    return write


def test_what_opens_files_is_given_the_file_and_no_terminal(desktop, tmp_path):
    noted = desktop(f'[ -t 0 ] || [ -t 1 ] || [ -t 2 ] || printf %s "$1" > "{tmp_path}/opened"')
    assert open_it("/a file; $(x)", threading.Event())
    assert noted.read_text() == "/a file; $(x)"


def test_one_that_fails_has_shown_nothing(desktop):
    desktop("exit 3")
    assert not open_it("/file", threading.Event())


def test_one_that_stays_is_not_waited_for(desktop, tmp_path):
    noted = desktop(f'echo "$1" > "{tmp_path}/opened"; exec sleep 5')
    nobody_waits = threading.Event()
    nobody_waits.set()
    assert open_it("/file", nobody_waits)
    wait_until(noted.exists)


@pytest.mark.parametrize(
    ("variable", "value"), [("DISPLAY", ""), ("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")]
)
def test_where_nobody_would_see_it_nothing_is_opened(desktop, monkeypatch, variable, value):
    desktop("exit 0")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv(variable, value)
    assert opener() is None
    assert not open_it("/file", threading.Event())
