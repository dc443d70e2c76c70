import re

import pytest
from made_runs import make_run

from rlmaster.cli.progress import shown, values
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


def test_the_returns_of_training_and_evaluation_are_told_apart():
    known = {"train/return": -19.25, "evaluation/return": 3.0, "train/loss": 0.0125, "other": 1.0}

    assert values(Progress(values=known)) == "loss 0.0125  return -19.2  evaluated 3"


def test_of_what_nobody_knows_the_end_only_what_is_done_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    playing = Progress("evaluating", 1234, 0, "steps", rate_per_s=240.0, eta_s=0.0)
    with shown(make_run(tmp_path / "runs"), quiet=False) as show:
        show(Update(Status(State.RUNNING), playing, []))

    assert capsys.readouterr().err == "evaluating 1,234 steps\n"
