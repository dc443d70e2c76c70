import io
import json
from pathlib import Path

import pytest
from fleet.places import put_here, put_on
from made_runs import make_run
from rich.console import Console

from rlmaster.cli.watch_screen import Lines, host_table
from rlmaster.fleet.happenings import Happening, HostSeen, RunEnded, RunGrew, Trouble
from rlmaster.fleet.owed import owe
from rlmaster.hosts.reachability import note_reachable, note_unreachable
from rlmaster.placement import Left
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_status import State, Status

FOLDER = Path("/runs/pong/20260101-000000-abcdef")


def drawn(runs: Path) -> list[str]:
    """Return the lines of the table."""
    file = io.StringIO()
    Console(file=file, width=100).print(host_table(runs))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def elsewhere(runs: Path, host: str, state: State, progress: Progress | None = None) -> RunFolder:
    run = make_run(runs)
    put_on(run, host)
    run.write_status(Status(state))
    run.write_progress(progress or Progress())
    owe(run)
    return run


@pytest.fixture
def runs(tmp_path, own_locks) -> Path:
    return tmp_path / "runs"


def test_hosts_are_shown_with_their_runs_and_why_nothing_comes(runs):
    far = Progress("training", 41, 100, "updates", 312.0, 190.0, {"train/loss": 0.0021})
    first, second = (
        elsewhere(runs, "office", State.RUNNING, far),
        elsewhere(runs, "cellar", State.QUEUED),
    )
    note_reachable(runs, "office")
    note_unreachable(runs, "cellar", "\x1b[31mit does not answer")

    cellar, its_run, office, other_run = drawn(runs)

    assert cellar.startswith("cellar  unreachable since")
    assert cellar.endswith("it does not answer")
    assert "\x1b" not in cellar
    assert its_run.split() == [second.short_id, "pong", "queued"]
    assert office == "office  reachable"
    assert other_run.split() == [
        *(first.short_id, "pong", "running", "41%"),
        *("312/s,", "3:10", "left", "loss", "0.0021"),
    ]


def test_a_run_that_came_here_is_shown_with_the_host_that_must_still_be_told(runs):
    run = make_run(runs)
    put_here(run, left=(Left("attic", "/somewhere", 1),))
    owe(run)
    assert drawn(runs)[0].startswith("attic")


def test_without_such_runs_there_is_a_word(runs):
    assert drawn(runs) == ["no run is made on another computer now"]


@pytest.mark.parametrize(
    ("happening", "line", "data"),
    [
        (
            HostSeen("office", reachable=True),
            "office answers\n",
            {"kind": "host", "host": "office", "reachable": True, "reason": ""},
        ),
        (
            HostSeen("office", reachable=False, reason="it is off"),
            "office unreachable: it is off\n",
            {"kind": "host", "host": "office", "reachable": False, "reason": "it is off"},
        ),
        (
            RunGrew("office", FOLDER, ("log.txt",)),
            "",
            {
                "kind": "run",
                "host": "office",
                "run_id": FOLDER.name,
                "run_folder": str(FOLDER),
                "paths": ["log.txt"],
            },
        ),
        (
            RunEnded("office", FOLDER, "failed"),
            "run abcdef on office is failed\n",
            {
                "kind": "ended",
                "host": "office",
                "run_id": FOLDER.name,
                "run_folder": str(FOLDER),
                "state": "failed",
            },
        ),
        (
            Trouble("office", "office: its disk is full"),
            "office: its disk is full\n",
            {"kind": "trouble", "host": "office", "reason": "office: its disk is full"},
        ),
        (
            Trouble("office", "its disk is full"),
            "office: its disk is full\n",
            {"kind": "trouble", "host": "office", "reason": "its disk is full"},
        ),
    ],
)
def test_each_change_is_a_line_for_people_and_for_programs(
    capsys, happening: Happening, line: str, data: dict[str, object]
):
    Lines(as_json=False).tell(happening)
    Lines(as_json=True).tell(happening)
    said = capsys.readouterr()
    assert said.err == line
    assert json.loads(said.out) == data
