import re

import pytest
from made_runs import make_run

from rlmaster.cli.progress import shown
from rlmaster.events import event
from rlmaster.follower import Update
from rlmaster.run_folder import Progress
from rlmaster.run_status import State, Status


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_long_event_is_broken_between_words(tmp_path, capsys, monkeypatch, is_terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    words = " ".join(["considerable"] * 9)
    path = "/a folder/" + " ".join(["considerable"] * 9)
    run = make_run(tmp_path / "runs")

    with shown(run, quiet=False) as show:
        show(Update(Status(State.RUNNING), Progress(), [event("note", words), event("note", path)]))

    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", capsys.readouterr().err)
    three = "considerable considerable considerable"
    broken = f"note: considerable considerable\n{three}\n{three}\nconsiderable\n"
    assert f"note: {path}\n" in said
    assert (broken if is_terminal else f"note: {words}\n") in said


@pytest.mark.parametrize(
    ("update", "line"),
    [
        (Update(Status(State.QUEUED), Progress(), [], 2), "waits for a slot, behind 2"),
        (
            Update(Status(State.QUEUED), Progress(), [], host="office"),
            "waits for a slot on office",
        ),
        (
            Update(
                Status(State.RUNNING), Progress(), [], host="office", unreachable="office is off"
            ),
            "office is off",
        ),
    ],
)
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_run_that_does_not_move_says_why(
    tmp_path, capsys, monkeypatch, update, line, is_terminal
):
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")

    with shown(make_run(tmp_path / "runs"), quiet=False) as show:
        show(update)

    assert line in capsys.readouterr().err
