import os
import sys
import threading
from pathlib import Path

import pytest
from waiting import wait_until

import tui
from tui.children.commands import CommandCancelledError, CommandError, CommandLine
from tui.children.detached import Deed

NEVER = threading.Event()
TELL_PATH = """
import json, os
print(json.dumps({"path": os.environ["PYTHONPATH"].split(os.pathsep)[0]}))
"""


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_an_answer_comes_back_and_each_message_on_its_way(fake_command):
    fake_command.plan("launch", messages=["one", "\x1b[31mtwo\x1b[0m"], answer={"run_id": "x"})
    said: list[str] = []
    answer = fake_command.line.run(["launch"], NEVER, 20, said.append)
    assert answer == {"run_id": "x"}
    assert said == ["one", "two"]


def test_messages_arrive_while_the_command_goes_on(fake_command):
    fake_command.plan("launch", messages=["first step"], hang=True)
    cancelled = threading.Event()
    with pytest.raises(CommandCancelledError):
        fake_command.line.run(["launch"], cancelled, 20, lambda _: cancelled.set())


def test_a_failure_is_told_in_the_commands_own_sentences(fake_command):
    fake_command.plan("launch", messages=["no host fits", "free one"], exit_code=2)
    with pytest.raises(CommandError, match="no host fits\nfree one"):
        fake_command.line.run(["launch"], NEVER, 20)


def test_a_silent_failure_is_told_by_its_exit_code(fake_command):
    fake_command.plan("launch", exit_code=3)
    with pytest.raises(CommandError, match="`rlmaster launch` ended with exit code 3"):
        fake_command.line.run(["launch"], NEVER, 20)


@pytest.mark.parametrize("answer", [[1], "text", None])
def test_an_answer_that_is_no_object_is_refused(fake_command, answer):
    fake_command.plan("hosts", answer=answer)
    with pytest.raises(CommandError, match="did not answer with a JSON object"):
        fake_command.line.run(["hosts"], NEVER, 20)


def test_a_command_that_cannot_be_started_is_told():
    with pytest.raises(CommandError, match="/no/such/program cannot be started"):
        CommandLine(Path("/"), ("/no/such/program",)).run(["hosts"], NEVER, 20)


def test_no_file_of_the_project_is_taken_for_a_module(empty_project, monkeypatch):
    for name in ("rlmaster.py", "typer.py", "json.py"):
        (empty_project.root / name).write_text("raise SystemExit('a file of the project')")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = CommandLine(empty_project.root)
    assert command.run(["runs", "--json"], NEVER, 60)["runs"] == []
    assert Deed(command, ["runs", "--json"]).answer(NEVER, 60)["runs"] == []


def test_commands_are_of_the_same_code_as_the_app(empty_project):
    told = CommandLine(empty_project.root, (sys.executable, "-c", TELL_PATH)).run(["x"], NEVER, 60)
    assert told == {"path": str(Path(tui.__file__).parents[1])}


def test_the_deadline_ends_the_command_and_all_it_started(fake_command):
    fake_command.plan("hosts", hang=True)
    with pytest.raises(CommandError, match="in time"):
        fake_command.line.run(["hosts"], NEVER, 1.0)
    [call] = fake_command.asked("hosts")
    assert not is_alive(call["process"])
    wait_until(lambda: not is_alive(call["grandchild"]), bound_s=2)


def test_a_cancelled_command_is_ended_with_all_it_started(fake_command):
    fake_command.plan("hosts", messages=["asking"], hang=True)
    cancelled = threading.Event()
    with pytest.raises(CommandCancelledError):
        fake_command.line.run(["hosts"], cancelled, 20, lambda _: cancelled.set())
    [call] = fake_command.asked("hosts")
    assert not is_alive(call["process"])
    wait_until(lambda: not is_alive(call["grandchild"]), bound_s=2)


def test_a_background_process_that_holds_the_pipes_does_not_hold_the_answer(tmp_path):
    script = (
        "import subprocess; p = subprocess.Popen(['sleep', '100']); print('{\"pid\": %d}' % p.pid)"
    )
    answer = CommandLine(tmp_path, (sys.executable, "-c", script)).run(["x"], NEVER, 20)
    assert is_alive(answer["pid"]), "what a command leaves behind on purpose goes on"
    os.kill(answer["pid"], 9)


def test_a_command_knows_its_project(tmp_path):
    script = (
        "import json, os;"
        "print(json.dumps({'folder': os.getcwd(), 'project': os.environ['RLMASTER_PROJECT']}))"
    )
    answer = CommandLine(tmp_path, (sys.executable, "-c", script)).run(["x"], NEVER, 20)
    assert answer == {"folder": str(tmp_path), "project": str(tmp_path)}
