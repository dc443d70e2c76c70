from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from acting_app import bare_app, told
from driving import drive, screen_text, wait_for_text, wait_until
from made_runs import complete, make_run

import tui.children.listening
from rlmaster.durable_files import write_json
from rlmaster.events import Event, append_event, event
from rlmaster.hosts.reachability import note_unreachable
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_status import State, Status
from tui.children.commands import CommandLine
from tui.notices import (
    LOOKS_FOR_STANDING,
    MOST_AT_ONCE,
    HostLookout,
    Notice,
    RunLookout,
    gathered,
)

HOSTILE = "[bold red]x[/] \x1b[2J\u202e end"


@pytest.fixture
def runs(tmp_path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def running(run: RunFolder, attempt: int = 1) -> RunFolder:
    run.write_status(Status(State.RUNNING, attempt=attempt))
    return run


def changed(run: RunFolder, status: Status) -> None:
    """Change a run as whoever does so: the index is told."""
    run.write_status(status)
    with RunIndex(run.path.parent.parent) as index:
        index.refresh(run)


def titles(notices: list[Notice]) -> list[str]:
    return [notice.title for notice in notices]


# ------------------------------------------------------------------------------------------ runs


def test_what_was_so_before_is_not_told(runs):
    old = running(make_run(runs))
    append_event(old.training_events, event("diverged", "the loss is not finite"))
    changed(make_run(runs), Status(State.FAILED, reason="an old error"))
    lookout = RunLookout(runs)
    assert lookout.look() == []
    assert lookout.look() == []


def test_what_happens_in_a_run_is_told_once(runs):
    run = running(make_run(runs, rationale="Does it help?\nMore."))
    lookout = RunLookout(runs)
    lookout.look()
    append_event(run.training_events, event("diverged", "the loss is not finite"))
    append_event(run.training_events, event("note", "worth no word"))
    [notice] = lookout.look()
    assert notice.title == f"pong {run.short_id}: diverged"
    assert notice.body == "the loss is not finite\nWhy: Does it help?"
    assert notice.severity == "error"
    assert lookout.look() == []


@pytest.mark.parametrize(
    ("state", "word"),
    [(State.FAILED, "failed"), (State.LOST, "lost"), (State.STOPPED, "stopped")],
)
def test_an_end_is_told_with_its_reason_once(runs, state, word):
    run = running(make_run(runs))
    lookout = RunLookout(runs)
    lookout.look()
    changed(run, Status(state, reason="the disk is full"))
    [notice] = lookout.look()
    assert notice.title == f"pong {run.short_id}: {word}"
    assert notice.body.startswith("the disk is full\n")
    assert lookout.look() == []


def test_a_second_end_after_a_resume_is_news(runs):
    run = running(make_run(runs))
    lookout = RunLookout(runs)
    lookout.look()
    changed(run, Status(State.FAILED, attempt=1))
    assert len(lookout.look()) == 1
    changed(run, Status(State.RUNNING, attempt=2))
    assert lookout.look() == []
    changed(run, Status(State.FAILED, attempt=2))
    assert len(lookout.look()) == 1


def test_a_result_waits_a_moment_for_how_it_compares(runs):
    run = running(make_run(runs))
    lookout = RunLookout(runs)
    lookout.look()
    complete(run, 0.25)
    with RunIndex(runs) as index:
        index.refresh(run)
    assert lookout.look() == []
    run.report.mkdir()
    write_json(run.standing_file, {"sentence": "best so far of 5 comparable runs"})
    with RunIndex(runs) as index:
        index.refresh(run)
    [notice] = lookout.look()
    assert notice.title == f"pong {run.short_id}: finished"
    assert "Held-out error 0.25 (before 0.5)\nbest so far" in notice.body


def test_a_result_whose_standing_never_comes_is_told_all_the_same(runs):
    run = running(make_run(runs))
    lookout = RunLookout(runs)
    lookout.look()
    complete(run, 0.25)
    with RunIndex(runs) as index:
        index.refresh(run)
    looks = [lookout.look() for _ in range(LOOKS_FOR_STANDING + 1)]
    assert [len(found) for found in looks] == [0] * (LOOKS_FOR_STANDING - 1) + [1, 0]


def test_a_run_that_comes_and_ends_between_two_looks_is_told(runs):
    lookout = RunLookout(runs)
    lookout.look()
    changed(make_run(runs), Status(State.FAILED, reason="at once"))
    assert len(lookout.look()) == 1
    assert lookout.look() == []


def test_events_of_a_copied_old_run_are_none_of_today(runs):
    lookout = RunLookout(runs)
    lookout.look()
    run = running(make_run(runs))
    then = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    append_event(run.worker_events, Event("diverged", "long ago", time=then))
    assert lookout.look() == []


def test_very_many_ends_are_counted(runs):
    many = [running(make_run(runs)) for _ in range(12)]
    lookout = RunLookout(runs)
    lookout.look()
    for run in many[1:]:
        changed(run, Status(State.STOPPED))
    changed(many[0], Status(State.FAILED, reason="alone"))
    found = gathered(lookout.look())
    assert sorted(titles(found)) == ["11 runs: stopped", f"pong {many[0].short_id}: failed"]


def test_what_others_wrote_is_safe_to_show(runs):
    run = running(make_run(runs, rationale=HOSTILE))
    lookout = RunLookout(runs)
    lookout.look()
    append_event(run.training_events, event("diverged", HOSTILE))
    changed(run, Status(State.FAILED, reason=HOSTILE))
    for notice in lookout.look():
        assert all(line.isprintable() for line in [notice.title, *notice.body.split("\n")])


# ----------------------------------------------------------------------------------------- hosts


def host_line(name: str, *, reachable: bool, reason: str = "") -> dict[str, object]:
    return {"kind": "host", "host": name, "reachable": reachable, "reason": reason}


def test_a_host_that_goes_and_comes_back_is_told_each_time_once(runs):
    lookout = HostLookout(runs)
    assert lookout.hear(host_line("office", reachable=True)) is None
    gone = lookout.hear(host_line("office", reachable=False, reason="no route"))
    assert (gone.title, gone.body) == ("office does not answer", "no route")
    assert lookout.hear(host_line("office", reachable=False, reason="no route")) is None
    assert lookout.hear(host_line("office", reachable=True)).title == "office answers again"


def test_a_host_that_was_silent_before_is_no_news(runs):
    note_unreachable(runs, "cellar", "it is off")
    lookout = HostLookout(runs)
    assert lookout.hear(host_line("cellar", reachable=False, reason="it is off")) is None
    assert lookout.hear(host_line("cellar", reachable=True)).title == "cellar answers again"


def test_a_trouble_is_told_once(runs):
    lookout = HostLookout(runs)
    trouble = {"kind": "trouble", "host": "office", "reason": "the disk there is full"}
    assert lookout.hear(trouble).severity == "warning"
    assert lookout.hear(trouble) is None
    assert lookout.hear({"kind": "run", "host": "office"}) is None


# --------------------------------------------------------------------------------------- the app


def test_the_app_tells_and_lists_what_happens(empty_project, monkeypatch):
    monkeypatch.setattr(tui.children.listening, "LOOK_OUT_S", 0.05)
    run = running(make_run(empty_project.runs))
    silent = CommandLine(empty_project.root, ("/bin/true",))

    async def scenario(pilot):
        await pilot.press("m")
        await wait_for_text(pilot, "Nothing was told yet.")
        await pilot.press("escape")
        await wait_until(pilot, lambda: _is_watched(pilot.app, run))
        changed(run, Status(State.FAILED, reason="[bold]the disk is full"))
        await wait_until(pilot, lambda: "failed" in told(pilot.app))
        await pilot.press("m")
        await wait_for_text(pilot, f"pong {run.short_id}: failed")
        assert "✗" in screen_text(pilot.app)
        assert "[bold]the disk is full" in screen_text(pilot.app)

    drive(bare_app(empty_project, command=silent), scenario)


def test_what_is_only_counted_in_passing_is_listed_one_by_one(empty_project, monkeypatch):
    monkeypatch.setattr(tui.children.listening, "LOOK_OUT_S", 0.05)
    found = [Notice("stalled", f"run {n}: stalled", "") for n in range(MOST_AT_ONCE + 1)]
    looks = iter([found])
    monkeypatch.setattr(RunLookout, "look", lambda self: next(looks, []))

    async def scenario(pilot):
        await wait_until(pilot, lambda: f"{len(found)} runs: stalled" in told(pilot.app))
        await pilot.press("m")
        for notice in found:
            await wait_for_text(pilot, notice.title)

    silent = CommandLine(empty_project.root, ("/bin/true",))
    drive(bare_app(empty_project, command=silent), scenario)


def _is_watched(app, run) -> bool:
    """Make something of the run known until the app has seen it."""
    append_event(run.training_events, event("plateau", "nothing moves"))
    return "plateau" in told(app)
