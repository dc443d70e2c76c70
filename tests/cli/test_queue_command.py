"""`rlmaster queue` on tickets alone: it is drained, so nothing starts and nothing is waited for."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from made_runs import make_run, set_state

from rlmaster.hosts.queue import Queue, Ticket
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State


@pytest.fixture
def queued() -> str:
    """A bit more than three minutes ago."""
    moment = datetime.now(UTC) - timedelta(minutes=3, seconds=20)
    return moment.isoformat(timespec="milliseconds")


@pytest.fixture
def waiting(project, own_locks, queued) -> list[RunFolder]:
    """Two runs that wait in a drained queue, the next one first."""
    runs = [make_run(project / "runs") for _ in range(2)]
    Queue.here().drain()
    ticket = Ticket("", "", 1, "python3", "/code", 1, {}, queued)
    for run in runs:
        set_state(run, State.QUEUED, attempt=1)
        Queue.here().put(replace(ticket, run_id=run.id, run_folder=str(run.path)))
    return runs


def test_a_person_reads_how_long_a_run_has_waited(command, waiting):
    lines = command("queue").out.splitlines()

    first, second = (run.short_id for run in waiting)
    assert lines[0].startswith("drained: nothing is started")
    assert lines[1:] == [
        f"       1  {first}  pong  waits for 3 min",
        f"       2  {second}  pong  waits for 3 min",
    ]


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0, r"(\d+ s|a moment)"), (150, "2 h"), (3000, "2 d"), (-60, "a moment")],
)
def test_a_wait_is_told_in_the_unit_that_suits_it(command, waiting, minutes, words):
    now = datetime.now(UTC) - timedelta(minutes=minutes)
    first = Queue.here().waiting()[0]
    first.path.write_text(json.dumps({**vars(first.ticket()), "queued": now.isoformat()}))

    assert re.search(f"waits for {words}$", command("queue").out.splitlines()[1])


def test_a_program_reads_since_when_a_run_waits(command, waiting, queued):
    Queue.here().waiting()[1].path.write_text("{")

    rows = json.loads(command("queue", "--json").out)["waiting"]

    assert [row["queued"] for row in rows] == [queued, None]
    assert len(command("queue").out.splitlines()) == 3


def test_each_change_has_an_answer_for_programs(command, waiting):
    first, second = waiting

    assert json.loads(command("queue", "front", second.short_id, "--json").out) == {
        "run_id": second.id,
        "ahead": 0,
    }
    assert json.loads(command("queue", "remove", first.short_id, "--json").out) == {
        "runs": [
            {"run_id": first.id, "state": "stopped", "reason": "it was taken out of the queue"}
        ]
    }
    assert json.loads(command("queue", "drain", "--json").out) == {"drained": True, "waiting": 1}
    command("queue", "remove", second.short_id)
    assert json.loads(command("queue", "open", "--json").out) == {"drained": False, "waiting": 0}
