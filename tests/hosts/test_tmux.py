import os
import shlex
import subprocess

import pytest
from waiting import wait_until

from rlmaster.errors import HostError
from rlmaster.hosts import tmux

pytestmark = pytest.mark.system


def write_arguments(path: str, *arguments: str) -> list[str]:
    """Return a program that writes its arguments to a file, each ended by a null, and stays."""
    script = (
        'file=$1; shift; printf "%s\\0" "$@" > "$file.part"; mv "$file.part" "$file"; exec sleep 60'
    )
    return ["/bin/sh", "-c", script, "sh", path, *arguments]


def test_arguments_arrive_as_they_are(tmux_server, tmp_path):
    arguments = [
        "a b",
        "it's",
        '"',
        "$(id)",
        "#{pane_id}",
        "#(id)",
        "x;",
        ";",
        "ü",
        "two\nlines",
        "-l",
    ]
    file = tmp_path / "arguments"
    assert tmux.start_session("s", write_arguments(str(file), *arguments), os.environ)
    wait_until(file.exists)
    assert file.read_text().split("\0")[:-1] == arguments


def test_a_name_is_started_only_once(tmux_server, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert tmux.start_session("same", write_arguments(str(first)), os.environ)
    assert not tmux.start_session("same", write_arguments(str(second)), os.environ)
    assert tmux.start_session("other", write_arguments(str(second)), os.environ)
    wait_until(lambda: first.exists() and second.exists())


def test_names_that_tmux_would_change_are_changed_before(tmux_server, tmp_path):
    name = tmux.session_name("a.b:c #{pid}")
    assert tmux.start_session(name, ["/bin/sleep", "60"], os.environ)
    listed = subprocess.run(
        ["tmux", "-L", tmux_server, "list-sessions", "-F", "#{session_name}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert listed.strip() == name == "a_b_c___pid_"


def test_attach_command_leads_to_the_session(tmux_server):
    tmux.start_session("20260101-120000-abc234", ["/bin/sleep", "60"], os.environ)
    command = shlex.split(tmux.attach_command("20260101-120000-abc234", os.environ))
    command[command.index("attach-session")] = "has-session"
    assert subprocess.run(command, check=False).returncode == 0


def test_without_a_server_of_a_tests_own_the_server_is_rlmasters():
    assert tmux.attach_command("x", {}) == "tmux -L rlmaster attach-session -t x"


def test_errors_carry_tmuxs_own_words(tmux_server, monkeypatch):
    monkeypatch.setenv(tmux.SOCKET_VARIABLE, "x" * 200)
    with pytest.raises(HostError, match=r"^tmux: .*File name too long"):
        tmux.start_session("s", ["/bin/true"], os.environ)


def test_a_missing_tmux_is_named(tmp_path):
    with pytest.raises(HostError, match=r"^tmux is not installed$"):
        tmux.start_session("s", ["/bin/true"], {"PATH": str(tmp_path)})


def test_a_tmux_that_hangs_is_left(tmp_path, monkeypatch):
    program = tmp_path / "tmux"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(tmux, "TIMEOUT_S", 0.2)
    with pytest.raises(HostError, match=r"^tmux did not answer within"):
        tmux.start_session("s", ["/bin/true"], {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
