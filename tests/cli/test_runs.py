import fcntl
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import termios

import pytest
from made_runs import PLAYING, complete, complete_playing, make_run, set_state

from rlmaster.cli import indexing
from rlmaster.durable_files import write_json
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_index import reading as run_index_reading
from rlmaster.run_lock import boot_id
from rlmaster.run_status import State


@pytest.fixture
def runs(project):
    return project / "runs"


def shown(outcome) -> list[str]:
    """Return the six characters of each line of a table."""
    return [line.split()[0] for line in outcome.out.splitlines()[1:]]


def test_without_runs_there_is_a_word_on_how_to_make_one(command):
    assert command("runs").out == "no runs yet; `rlmaster launch` makes one\n"
    assert json.loads(command("runs", "--json").out) == {"runs": [], "count": 0, "unreachable": []}


def test_a_run_is_listed(command, runs, finished_run):
    shutil.copytree(finished_run.folder.path, runs / "tiny-pong" / finished_run.folder.id)
    run = RunFolder(runs / "tiny-pong" / finished_run.folder.id)

    outcome = command("runs", "--json")

    (row,) = json.loads(outcome.out)["runs"]
    assert outcome.code == 0
    result = run.progress().result
    wanted = {
        "id": run.id,
        "short_id": run.short_id,
        "name": "tiny-pong",
        "run_folder": str(run.path),
        "state": "completed",
        "attempt": 1,
        "game": "pong",
        "embedder": "Autoencoder",
        "agent": "",
        "style": "",
        "phase": "rendering",
        "progress": None,
        "metric": result["metric"],
        "value": result["value"],
        "standing": "too few earlier runs to compare with (0 of 3)",
        "rationale": "Does the whole path work? 100 % of it, & quickly.",
        "conclusion": "",
        "parents": [],
    }
    assert row | wanted == row


def test_the_newest_come_first_and_as_many_as_wanted(command, runs):
    made = [make_run(runs).short_id for _ in range(4)][::-1]

    assert shown(command("runs")) == made
    outcome = command("runs", "--limit", "3")
    assert shown(outcome) == made[:3]
    assert outcome.err == (
        "1 more; --all lists them, --limit N the first N, filters such as since:7d fewer\n"
    )
    answer = json.loads(command("runs", "--json", "--limit", "1").out)
    assert ([row["short_id"] for row in answer["runs"]], answer["count"]) == (made[:1], 4)
    assert command("runs", "--limit", "1", "--all").code == 2


def test_the_list_is_sorted_as_wanted(command, runs):
    old, new = (make_run(runs, name) for name in ("first", "second"))
    for run, value in ((old, 0.1), (new, 0.2)):
        run.write_progress(Progress(result={"metric": "held_out/error", "value": value}))

    assert shown(command("runs", "--sort", "oldest")) == [old.short_id, new.short_id]
    assert shown(command("runs", "--sort", "result", "--limit", "1")) == [old.short_id]
    unknown = command("runs", "--sort", "results")
    assert (unknown.code, unknown.err) == (
        2,
        "runs have no order 'results'; did you mean result?\n",
    )


def test_filters_choose_runs(command, runs):
    failed, other = make_run(runs, rationale="the ball"), make_run(runs, "other")
    set_state(failed, State.FAILED)

    assert shown(command("runs", "state:failed", "BALL")) == [failed.short_id]
    assert shown(command("runs", "name:other", "embedder.latent_dim:>=64")) == [other.short_id]
    nothing = command("runs", "state:lost")
    assert (nothing.code, nothing.out, nothing.err) == (
        0,
        "",
        "no run fits; `rlmaster runs` lists them all\n",
    )
    unknown = command("runs", "stat:failed")
    assert (unknown.code, unknown.err) == (2, "runs have no key 'stat'; did you mean state?\n")


def test_a_run_that_nobody_works_on_any_more_is_lost(command, runs, same_environment):
    run = make_run(runs)
    set_state(run, State.RUNNING, host=platform.node(), boot_id=boot_id())

    (row,) = json.loads(command("runs", "--json").out)["runs"]

    assert row["state"] == "lost"
    assert run.status().state is State.LOST


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_the_table_fits_its_terminal(command, runs, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    run = complete(make_run(runs, "a-long-name-of-an-experiment"), 0.000410)
    run.rationale_file.write_text("日本語 long " * 50 + "\x1b[31m\nsecond line")
    run.report.mkdir()
    write_json(run.standing_file, {"sentence": "best so far of 4 comparable runs"})
    make_run(runs, "x")

    out = command("runs").out

    assert "\x1b" not in out
    assert "second line" not in out
    assert all(len(line) + line.count("日本語") * 3 <= columns for line in out.splitlines())
    (line,) = [line for line in out.splitlines() if line.startswith(run.short_id)]
    assert re.match(r"\w{6}  completed +a-long-n\S+ +0.000410 ▲ ", line)
    assert ("▲ best" in line) == (columns >= 100)
    assert "日本" in line


def test_the_agent_is_shown_where_any_run_has_one(command, runs):
    complete(make_run(runs), 0.1)
    assert "agent" not in command("runs").out.splitlines()[0]

    run = complete_playing(make_run(runs, config=PLAYING), 18.3)

    titles, playing, _ = command("runs").out.splitlines()
    assert titles.split()[:5] == ["run", "state", "experiment", "result", "agent"]
    assert playing.split()[3:6] == ["18.3", "DoubleDQN,", "frozen"]
    assert shown(command("runs", "agent:doubledqn", "style:frozen")) == [run.short_id]
    assert shown(command("runs", "--sort", "agent"))[0] == run.short_id
    (row,) = json.loads(command("runs", "agent:doubledqn", "--json").out)["runs"]
    assert (row["agent"], row["style"], row["higher_is_better"]) == ("DoubleDQN", "frozen", True)


def test_the_host_is_shown_where_there_are_several(command, runs):
    first, second = make_run(runs), make_run(runs)
    set_state(first, State.COMPLETED, host="lab")
    assert "lab" not in command("runs").out

    set_state(second, State.COMPLETED, host="laptop")
    assert {"lab", "laptop"} <= set(command("runs").out.split())


def test_how_much_is_done_is_shown_of_a_run_under_way(command, runs):
    run = make_run(runs)
    set_state(run, State.RUNNING, host="elsewhere")
    run.write_progress(Progress("training", step=42, total=100))

    assert "running 42%" in command("runs").out
    (row,) = json.loads(command("runs", "--json").out)["runs"]
    assert (row["phase"], row["progress"]) == ("training", 0.42)


def test_the_share_of_another_phase_is_not_taken_for_that_of_the_run(command, runs):
    run = make_run(runs)
    run.write_progress(Progress("collecting", step=99, total=100))
    set_state(run, State.RUNNING, host="elsewhere")

    out = command("runs").out
    assert "running collecting  pong" in out
    assert "%" not in out
    (row,) = json.loads(command("runs", "--json").out)["runs"]
    assert (row["phase"], row["progress"]) == ("collecting", None)

    set_state(run, State.QUEUED, host="elsewhere")  # a phase is not what a run does that waits
    assert "queued  pong" in command("runs").out


def test_at_a_terminal_there_are_colours_and_as_many_runs_as_fit(rlmaster, runs):
    for _ in range(20):
        complete(make_run(runs), 0.5)

    out = in_terminal(rlmaster, "runs", lines=16, columns=70)

    assert "\x1b[32mcompleted\x1b[0m" in out
    assert out.count("completed") == 12
    assert "8 more;" in out
    assert in_terminal(rlmaster, "runs", "--all", lines=16, columns=70).count("completed") == 20
    plain = in_terminal(rlmaster, "runs", lines=16, columns=70, NO_COLOR="1")
    assert "\x1b" not in plain


def in_terminal(rlmaster, *arguments: str, lines: int, columns: int, **environment: str) -> str:
    """Run a command to its end in a terminal of its own, and return what that shows."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "rlmaster", *arguments],
        cwd=rlmaster.project,
        env={**rlmaster.environment, "TERM": "xterm-256color", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(30) == 0, said
    return said.decode()


def test_what_takes_long_says_so(command, runs, monkeypatch):
    monkeypatch.setattr(indexing, "QUIET_S", 0.0)
    monkeypatch.setattr(run_index_reading, "RUNS_AT_ONCE", 2)
    for _ in range(5):
        make_run(runs)

    outcome = command("runs", "--json")

    assert outcome.err == "reading 5 runs into the index; the next command will not have to\n"
    assert len(json.loads(outcome.out)["runs"]) == 5


def test_an_index_that_cannot_be_kept_is_a_note_and_no_more(command, runs):
    make_run(runs)
    (runs / ".index.sqlite.lock").mkdir()

    outcome = command("runs")

    assert outcome.code == 0
    assert len(shown(outcome)) == 1
    assert "cannot be used (" in outcome.err
