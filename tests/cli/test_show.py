import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from made_runs import PLAYING, complete, complete_playing, make_run, set_state

from rlmaster.durable_files import append_line, write_json
from rlmaster.events import append_event, event
from rlmaster.placement import Placement
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_lock import boot_id
from rlmaster.run_status import State
from rlmaster.trash import delete


@pytest.fixture
def runs(project):
    return project / "runs"


@pytest.fixture
def rich_run(runs) -> RunFolder:
    """A stopped run of which everything is known, with a parent and a child."""
    parent = complete(make_run(runs, "parent", rationale="first"), 0.5)
    run = make_run(runs, rationale="Because.\nAnd so on.", parents=(parent.id,))
    make_run(runs, "child", rationale="onwards", parents=(run.id,))
    run.write_progress(
        Progress("training", 40, 100, "updates", eta_s=75.0, result={"metric": "x", "value": 0.25})
    )
    set_state(run, State.STOPPED, attempt=2, host="lab", slot="cpu:1", reason="asked to stop")
    run.write_conclusion("It helps.")
    run.write_tags(["ball", "small"])
    choice = {
        "host": "local",
        "asked_for": "auto",
        "ranking": [{"host": "local", "fits": True, "reason": "2 cores idle"}, {"host": "far"}],
    }
    write_json(run.provenance_file, {"host_choice": choice})
    for number in (1, 2):
        append_line(
            run.attempts_file,
            {"attempt": number, "host": "lab", "state": "stopped", "reason": f"reason {number}"},
        )
    append_event(run.worker_events, event("started", "training begins"))
    append_event(run.training_events, event("new_best", "error 0.25", 1200))
    run.report.mkdir()
    write_json(run.standing_file, {"sentence": "best so far of 4 comparable runs"})
    (run.report / "report.tex").touch()
    run.log_file.touch()
    return run


def sections(out: str) -> dict[str, list[str]]:
    """Return the lines of a page by their labels."""
    found: dict[str, list[str]] = {}
    label = ""
    for line in out.splitlines()[1:]:
        label = line[:11].strip() or label
        found.setdefault(label, []).append(line[11:])
    return found


def test_a_page_shows_what_is_known(command, rich_run):
    outcome = command("show", rich_run.short_id)

    page = sections(outcome.out)
    assert outcome.code == 0
    assert outcome.out.splitlines()[0] == f"pong {rich_run.short_id}  stopped"
    (state,) = page["state"]
    assert state.startswith("stopped ")
    assert state.endswith("attempt 2, on lab (cpu:1): asked to stop")
    assert page["progress"] == ["training: 40 of 100 updates (40%)"]
    assert page["result"] == ["X is 0.250."]
    assert page["standing"] == ["best so far of 4 comparable runs"]
    assert page["why"] == ["Because.", "And so on."]
    assert page["learned"] == ["It helps."]
    assert page["tags"] == ["ball, small"]
    assert page["differs"] == ["embedder.latent_dim=64, seed=1"]
    assert [line[7:] for line in page["builds on"]] == ["parent, completed: first"]
    assert [line[7:] for line in page["led to"]] == ["child, prepared: onwards"]
    assert page["host"] == ["local, asked for auto: 2 cores idle"]
    assert page["attempts"] == ["1: on lab, stopped: reason 1", "2: on lab, stopped: reason 2"]
    assert [line.partition(", ")[2] for line in page["events"]] == [
        "new best at 1,200: error 0.25",
        "started: training begins",
    ]
    assert page["files"] == ["report source: report/report.tex", "log: log.txt"]
    assert page["next"][0] == f"rlmaster resume {rich_run.short_id}"
    assert page["folder"] == [str(rich_run.path)]


def test_a_run_that_plays_is_shown_with_its_agent_in_agent_steps(command, runs):
    run = complete_playing(make_run(runs, config=PLAYING), 18.3)
    page = sections(command("show").out)
    assert page["agent"] == ["DoubleDQN, frozen"]
    assert page["result"][0].startswith("Mean return of 10 episodes rose from -20.3 to 18.3.")
    assert "progress" not in page

    run.write_progress(Progress("training", 250, 1000, "steps", eta_s=60.0))
    set_state(run, State.RUNNING, host="elsewhere")
    page = sections(command("show").out)
    assert page["progress"] == ["training: 250 of 1,000 steps (25%), about 1:00 left"]
    complete(run, 0.5)
    run.config_file.write_text("{}")
    assert "agent" not in sections(command("show").out)


def test_what_has_just_happened_is_not_now_ago(command, runs):
    run = make_run(runs)
    now = datetime.now(UTC) + timedelta(minutes=1)  # the same, and not overtaken by a slow computer
    append_event(run.worker_events, replace(event("note", "hello"), time=now.isoformat()))

    set_state(run, State.STOPPED, since=now.isoformat())
    page = sections(command("show").out)
    assert page["state"][0].startswith("stopped just now, made ")
    assert page["events"] == ["just now, note: hello"]

    set_state(run, State.RUNNING, since=now.isoformat(), host="elsewhere")
    assert sections(command("show").out)["state"][0].startswith("running, made ")


def test_a_run_in_the_trash_is_said_to_be_there(command, runs, own_locks):
    kept, gone = make_run(runs), complete(make_run(runs), 0.5)
    delete(gone)

    outcome = command("show", gone.short_id)

    assert outcome.code == 2
    assert outcome.err == (
        f"no run is called '{gone.short_id}'; the newest is {kept.short_id}; {gone.short_id} is in "
        f"the trash: `rlmaster restore {gone.short_id}` brings it back\n"
    )
    assert "trash" not in command("show", "zzz").err


def test_the_same_as_json(command, rich_run):
    answer = json.loads(command("show", rich_run.short_id, "--json").out)

    assert (answer["id"], answer["state"], answer["attempt"]) == (rich_run.id, "stopped", 2)
    assert answer["config"]["embedder.latent_dim"] == 64
    assert answer["result"] == "X is 0.250."
    assert len(answer["parents"]) == len(answer["children"]) == 1
    assert answer["host_choice"]["asked_for"] == "auto"
    assert [attempt["attempt"] for attempt in answer["attempts"]] == [1, 2]
    assert [happened["kind"] for happened in answer["events"]] == ["started", "new_best"]
    assert answer["files"]["log"] == str(rich_run.log_file)
    assert answer["commands"][0] == f"rlmaster resume {rich_run.short_id}"


def test_a_run_that_waits_elsewhere_names_the_queue_that_it_is_in(command, runs):
    run = make_run(runs)
    set_state(run, State.QUEUED)
    assert "rlmaster queue" in sections(command("show").out)["next"]

    run.write_placement(Placement("office", "ssh", "node7", "node7-0", "/there", "/", "python3", 1))

    page = sections(command("show").out)
    assert "rlmaster queue --host office" in page["next"]
    assert page["state"][0].endswith("on office")


def test_a_finished_run_is_shown_with_its_files(command, runs, finished_run):
    shutil.copytree(finished_run.folder.path, runs / "tiny-pong" / finished_run.folder.id)

    page = sections(command("show").out)

    assert "training.updates=20" in " ".join(page["differs"])
    assert any(line.startswith("video: videos/") for line in page["files"])
    assert "finished" in page["events"][0]
    assert "progress" not in page
    assert [line.split()[1] for line in page["next"]] == ["report", "conclude", "branch"]


@pytest.mark.parametrize("columns", [60, 80])
def test_a_page_fits_its_terminal_and_hostile_text_moves_no_cursor(
    command, rich_run, monkeypatch, columns
):
    monkeypatch.setenv("COLUMNS", str(columns))
    rich_run.rationale_file.write_text("long " * 50 + "\x1b[2J\x1b]0;title\x07\r" + "x" * 200)
    set_state(rich_run, State.LOST, reason="\x1b[31mkilled\r\nreally")
    append_event(rich_run.worker_events, event("note", "\x1b[1A up"))

    out = command("show", rich_run.short_id).out

    assert not {"\x1b", "\r", "\x07"} & set(out)
    *lines, folder = out.splitlines()
    assert max(map(len, lines)) <= columns
    assert folder.endswith(str(rich_run.path))  # whole, so that it can be copied


def test_a_damaged_run_is_shown_as_far_as_it_goes(command, rich_run):
    for file in (rich_run.config_file, rich_run.progress_file, rich_run.provenance_file):
        file.write_text("{")
    rich_run.attempts_file.write_text('[]\n{"attempt": [1]}\n')
    rich_run.worker_events.unlink()
    rich_run.worker_events.mkdir()

    outcome = command("show", rich_run.short_id)

    page = sections(outcome.out)
    assert outcome.code == 0
    assert page["why"] == ["Because.", "And so on."]
    assert {"differs", "result", "host"} & page.keys() == set()


def test_a_run_that_nobody_works_on_any_more_is_shown_as_lost(command, runs, same_environment):
    import platform

    run = make_run(runs)
    set_state(run, State.RUNNING, host=platform.node(), boot_id=boot_id())

    assert command("show").out.splitlines()[0].endswith("lost")
    assert run.status().state is State.LOST


def test_what_was_changed_by_hand_is_known_to_the_list_once_it_is_shown(command, runs):
    run = complete(make_run(runs), 0.5)
    command("runs")
    run.rationale_file.write_text("changed by hand")

    assert sections(command("show").out)["why"] == ["changed by hand"]
    assert "changed by hand" in command("runs").out


def test_a_copy_elsewhere_is_shown_and_left_as_it_is(command, rich_run, tmp_path):
    copy = tmp_path / "kept" / "somewhere" / "run"
    shutil.copytree(rich_run.path, copy)

    outcome = command("show", str(copy))

    assert outcome.code == 0
    assert sections(outcome.out)["why"] == ["Because.", "And so on."]
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["somewhere"]
