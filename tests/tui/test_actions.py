import os
from pathlib import Path

import pytest
from acting_app import bare_app, told
from driving import drive, screen_text, wait_for_text, wait_until
from textual.widgets import Input
from waiting import wait_until as wait_for

import tui.acts.stops
from rlmaster.durable_files import write_json
from rlmaster.hosts.reachability import note_unreachable
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State, Status
from rlmaster.trash import trashed_runs
from tui.acts.actions import read_run
from tui.acts.stage import Stage
from tui.acts.stops import PendingStops, StopBanner
from tui.messages import ChooseAction, CompareRuns, RunAgain
from tui.screens.action_menu import ActionMenu
from tui.screens.dialogs import CommandScreen, ConfirmScreen, TextScreen
from tui.widgets.editor import Editor


def ended(run: RunFolder, state: State = State.COMPLETED) -> RunFolder:
    run.write_status(Status(state))
    return run


def running(run: RunFolder) -> RunFolder:
    run.write_status(Status(State.PREPARED).enter(State.RUNNING))
    return run


def elsewhere(run: RunFolder, host: str) -> RunFolder:
    where = {"kind": "ssh", "computer": host, "machine": f"{host}-0123456789ab", "folder": "/run"}
    rest = {"workspace": "/", "python": "python3", "threads": 1}
    write_json(run.placement_file, {"host": host, **where, **rest})
    return run


async def open_menu(pilot, *runs):
    pilot.app.post_message(ChooseAction([run.path for run in runs]))
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, ActionMenu))
    await wait_for_text(pilot, "  ")


def keys_in_menu(app):
    lines = [line.strip(" │╭╮╰╯─") for line in screen_text(app).splitlines()]
    return {line[0] for line in lines if len(line) > 3 and line[1:3] == "  "}


# ------------------------------------------------------------------------------------------ menu


def test_the_menu_lists_what_suits_the_run(empty_project, make_run):
    done, live = ended(make_run()), running(make_run())

    async def scenario(pilot):
        await open_menu(pilot, done)
        assert keys_in_menu(pilot.app) >= {"n", "c", "t", "w", "b", "p", "y", "d"}
        assert not keys_in_menu(pilot.app) & {"s", "r", "g", "m", "o", "v"}
        await pilot.press("escape")
        await open_menu(pilot, live)
        assert "s" in keys_in_menu(pilot.app)
        assert not keys_in_menu(pilot.app) & {"d", "r"}
        await pilot.press("escape")
        await open_menu(pilot, done, live)
        assert "Stop, keeping its work (1 of 2)" in screen_text(pilot.app)
        assert {"m", "t", "d"} <= keys_in_menu(pilot.app)
        assert not keys_in_menu(pilot.app) & {"c", "n"}

    drive(bare_app(empty_project), scenario)


def test_an_entry_is_chosen_by_arrows_and_enter_or_left_by_escape(empty_project, make_run):
    run = ended(make_run())
    heard: list[Path] = []

    async def scenario(pilot):
        pilot.app.post_message = heard_by(pilot.app, heard)
        await open_menu(pilot, run)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(pilot.app.screen, ActionMenu))
        assert heard == []
        await open_menu(pilot, run)
        await pilot.press("down", "up", "enter")
        await wait_until(pilot, lambda: heard)
        assert heard == [run.path]

    drive(bare_app(empty_project), scenario)


def heard_by(app, heard):
    post = app.post_message

    def note(message):
        if isinstance(message, RunAgain):
            heard.append(message.path)
            return True
        if isinstance(message, CompareRuns):
            heard.extend(message.paths)
            return True
        return post(message)

    return note


def test_several_runs_are_compared(empty_project, make_run):
    runs = [ended(make_run()), ended(make_run())]
    heard: list[Path] = []

    async def scenario(pilot):
        pilot.app.post_message = heard_by(pilot.app, heard)
        await open_menu(pilot, *runs)
        await pilot.press("m")
        await wait_until(pilot, lambda: heard)
        assert heard == [run.path for run in runs]

    drive(bare_app(empty_project), scenario)


def test_a_run_that_is_gone_is_mentioned(empty_project, make_run):
    run = make_run()
    run.run_file.unlink()

    async def scenario(pilot):
        pilot.app.post_message(ChooseAction([run.path]))
        await wait_until(pilot, lambda: "no run here" in told(pilot.app))

    drive(bare_app(empty_project), scenario)


# ------------------------------------------------------------------------------------------ stop


def test_a_stop_that_is_taken_back_is_never_asked_for(empty_project, make_run, fake_command):
    runs = [running(make_run()), running(make_run())]

    async def scenario(pilot):
        await open_menu(pilot, *runs)
        await pilot.press("s")
        await wait_for_text(pilot, "Stopping 2 runs in ")
        await wait_for_text(pilot, "u Undo")
        await pilot.press("u")
        await wait_until(pilot, lambda: not pilot.app.screen.query(StopBanner))
        assert not pilot.app.actor.can_undo

    drive(bare_app(empty_project, command=fake_command.line), scenario)
    assert fake_command.asked("stop") == []


def test_a_stop_is_asked_for_when_its_time_has_come(
    empty_project, make_run, fake_command, monkeypatch
):
    monkeypatch.setattr(tui.acts.stops, "UNDO_S", 0.0)
    fake_command.plan("stop", answer={"runs": []})
    run = running(make_run())

    async def scenario(pilot):
        await open_menu(pilot, run)
        await pilot.press("s")
        await wait_until(pilot, lambda: "asked to keep the work" in told(pilot.app))
        assert not pilot.app.screen.query(StopBanner)

    drive(bare_app(empty_project, command=fake_command.line), scenario)
    [call] = fake_command.asked("stop")
    assert call["arguments"] == ["stop", str(run.path), "--no-wait", "--json"]


def test_quitting_carries_out_a_stop_at_once(empty_project, make_run, fake_command):
    runs = [running(make_run()), running(make_run())]

    async def scenario(pilot):
        await open_menu(pilot, *runs)
        await pilot.press("s")
        await wait_for_text(pilot, "Stopping 2 runs in ")
        await pilot.press("q")

    drive(bare_app(empty_project, command=fake_command.line), scenario)
    [call] = wait_for(lambda: fake_command.asked("stop"))
    assert set(call["arguments"][1:3]) == {str(run.path) for run in runs}


def test_a_stop_whose_time_comes_as_the_app_ends_is_not_lost(
    empty_project, make_run, fake_command, monkeypatch
):
    monkeypatch.setattr(tui.acts.stops, "UNDO_S", 0.0)
    run = running(make_run())

    async def scenario(pilot):
        found = read_run(run.path)
        assert found is not None
        PendingStops(Stage(pilot.app, empty_project, pilot.app.command, pilot.app.settings)).add(
            [found]
        )
        pilot.app.exit()

    drive(bare_app(empty_project, command=fake_command.line), scenario)
    [call] = wait_for(lambda: fake_command.asked("stop"))
    assert call["arguments"][1] == str(run.path)


def test_the_banner_goes_with_whoever_changes_screens(empty_project, make_run, fake_command):
    run = running(make_run())

    async def scenario(pilot):
        await open_menu(pilot, run)
        await pilot.press("s")
        await wait_for_text(pilot, "Stopping pong")
        await pilot.press("m")
        await wait_for_text(pilot, "Messages")
        await wait_for_text(pilot, "Stopping pong")
        await pilot.press("escape")
        await wait_for_text(pilot, "Stopping pong")
        await pilot.press("u")

    drive(bare_app(empty_project, command=fake_command.line), scenario)


def test_a_run_whose_computer_is_silent_is_given_up_after_a_question(
    empty_project, make_run, fake_command
):
    run = elsewhere(running(make_run()), "office")
    note_unreachable(empty_project.runs, "office", "it does not answer")
    fake_command.plan("stop", answer={"runs": [{"state": "lost"}]})

    async def scenario(pilot):
        await open_menu(pilot, run)
        await pilot.press("g")
        await wait_for_text(pilot, "unreachable since")
        await pilot.press("escape")
        await open_menu(pilot, run)
        await pilot.press("g")
        await wait_for_text(pilot, "unreachable since")
        await pilot.press("y")
        await wait_until(pilot, lambda: "is lost" in told(pilot.app))

    drive(bare_app(empty_project, command=fake_command.line), scenario)
    [call] = fake_command.asked("stop")
    assert "--abandon" in call["arguments"]


def test_why_something_failed_is_told_in_its_own_words(empty_project, make_run, fake_command):
    reason = "run abc cannot go on; make room first"
    fake_command.plan("resume", messages=["working", reason], exit_code=1)
    run = ended(make_run(), State.FAILED)

    async def scenario(pilot):
        await open_menu(pilot, run)
        await pilot.press("r")
        await wait_until(pilot, lambda: reason in told(pilot.app))
        assert "working" not in told(pilot.app)

    drive(bare_app(empty_project, command=fake_command.line), scenario)


def test_a_run_goes_on_on_a_host_that_one_chooses(empty_project, make_run, fake_command):
    fake_command.plan("resume", answer={"state": "queued"})
    run = ended(make_run(), State.STOPPED)

    async def scenario(pilot):
        await open_menu(pilot, run)
        await pilot.press("h")
        await wait_for_text(pilot, "nobody is here")
        await pilot.press("down", "enter")
        await wait_for_text(pilot, "Done.")

    drive(bare_app(empty_project, command=fake_command.line), scenario)
    [call] = fake_command.asked("resume")
    assert call["arguments"][2:4] == ["--host", "box"]


# ---------------------------------------------------------------------------------------- delete


def test_delete_says_what_goes_and_can_be_undone(empty_project, make_run):
    parent = ended(make_run())
    (parent.path / "checkpoints").mkdir()
    (parent.path / "checkpoints" / "weights").write_bytes(b"x" * 300_000)

    async def scenario(pilot):
        await open_menu(pilot, parent)
        await pilot.press("d")
        await wait_for_text(pilot, "to the trash, with")
        for text in ("checkpoints 3", parent.short_id, "brought back"):
            assert text in screen_text(pilot.app)
        await pilot.press("d", "enter", "escape")
        await wait_until(pilot, lambda: not isinstance(pilot.app.screen, ConfirmScreen))
        assert parent.exists()
        await open_menu(pilot, parent)
        await pilot.press("d")
        await wait_for_text(pilot, "to the trash, with")
        await pilot.press("y")
        await wait_until(pilot, lambda: "u brings back" in told(pilot.app))
        assert not parent.exists()
        assert trashed_runs(empty_project.runs)[0].run_id == parent.id
        await wait_for_text(pilot, "u Undo")
        await pilot.press("u")
        await wait_until(pilot, parent.exists)

    drive(bare_app(empty_project), scenario)


# ----------------------------------------------------------------------------------------- notes


def test_a_conclusion_is_kept_and_one_that_was_left_comes_back(empty_project, make_run):
    run = ended(make_run())

    async def leave(pilot):
        await open_menu(pilot, run)
        await pilot.press("c")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, TextScreen))
        await pilot.press(*"It learns")
        await pilot.press("ctrl+q")

    async def come_back(pilot):
        await open_menu(pilot, run)
        await pilot.press("c")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, TextScreen))
        assert pilot.app.screen.query_one(Editor).text == "It learns"
        await pilot.press("ctrl+s")
        await wait_until(pilot, lambda: "The conclusion is kept" in told(pilot.app))
        assert not pilot.app.settings.remembered.unkept

    drive(bare_app(empty_project), leave)
    assert run.conclusion() == ""
    drive(bare_app(empty_project), come_back)
    assert run.conclusion() == "It learns"


def test_tags_are_changed_for_several_runs_at_once(empty_project, make_run):
    first, second = ended(make_run()), ended(make_run())
    first.write_tags(["shared", "own"])
    second.write_tags(["shared"])

    async def scenario(pilot):
        await open_menu(pilot, first, second)
        await pilot.press("t")
        await wait_for_text(pilot, "Tags of all 2 runs")
        assert pilot.app.screen.query_one(Input).value == "shared"
        await pilot.press("ctrl+u", *"new", "enter")
        await wait_until(pilot, lambda: second.tags() == ("new",))
        assert first.tags() == ("own", "new")

    drive(bare_app(empty_project), scenario)


def test_path_and_command_are_copied(empty_project, make_run):
    run = ended(make_run())

    async def scenario(pilot):
        await open_menu(pilot, run)
        await pilot.press("p")
        await wait_until(pilot, lambda: pilot.app.clipboard == str(run.path))
        await open_menu(pilot, run)
        await pilot.press("y")
        await wait_until(pilot, lambda: pilot.app.clipboard == f"rlmaster show {run.short_id}")

    drive(bare_app(empty_project), scenario)


# --------------------------------------------------------------------------------------- opening


@pytest.fixture
def desktop_that_notes(tmp_path, monkeypatch) -> Path:
    """A screen with an `xdg-open` that writes down what it was given."""
    noted = tmp_path / "opened"
    program = tmp_path / "bin" / "xdg-open"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > "{noted}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    return noted


def test_a_report_is_written_and_opened(empty_project, make_run, fake_command, desktop_that_notes):
    run = ended(make_run())
    made = {"tex": "/r/report.tex", "pdf": "/r/report.pdf", "note": ""}
    fake_command.plan("report", messages=["making the report"], answer=made)

    async def scenario(pilot):
        await open_menu(pilot, run)
        await pilot.press("w")
        await wait_until(pilot, desktop_that_notes.exists)
        await wait_until(pilot, lambda: desktop_that_notes.read_text() == "/r/report.pdf")

    drive(bare_app(empty_project, command=fake_command.line), scenario)


def test_without_a_desktop_the_place_is_said_and_copied(empty_project, make_run):
    run = ended(make_run())
    run.report.mkdir()
    (run.report / "report.pdf").touch()

    async def scenario(pilot):
        await open_menu(pilot, run)
        await pilot.press("o")
        await wait_until(pilot, lambda: "no desktop here" in told(pilot.app))
        assert pilot.app.clipboard == str(run.report / "report.pdf")

    drive(bare_app(empty_project), scenario)


def test_tensorboard_is_kept_and_its_page_opened_once_more(
    empty_project, make_run, fake_command, desktop_that_notes
):
    run = ended(make_run())
    page = {"url": "http://127.0.0.1:6006/"}
    fake_command.plan("tensorboard", answers=[page], waits_for="never")

    async def scenario(pilot):
        for _ in range(2):
            await open_menu(pilot, run)
            await pilot.press("b")
            await wait_until(pilot, desktop_that_notes.exists)
            await wait_until(pilot, lambda: "6006" in desktop_that_notes.read_text())
            desktop_that_notes.unlink()

    drive(bare_app(empty_project, command=fake_command.line), scenario)
    [call] = fake_command.asked("tensorboard")
    assert call["arguments"] == ["tensorboard", str(run.path), "--no-open", "--json"]
    wait_for(lambda: not Path(f"/proc/{call['process']}").exists())


# -------------------------------------------------------------------------------------- commands


def test_a_command_is_watched_and_goes_on_when_it_is_left(empty_project, fake_command):
    fake_command.plan("setup", messages=["first step"], answer={"made": 1}, waits_for="go")

    async def scenario(pilot):
        app = pilot.app
        app.push_screen(CommandScreen("Setting up", app.command, ["setup"], lambda _: "it is set"))
        await wait_for_text(pilot, "first step")
        await pilot.press("escape")
        fake_command.let("go")
        await wait_until(pilot, lambda: "Setting up it is set" in told(app))

    drive(bare_app(empty_project, command=fake_command.line), scenario)


def test_a_command_that_is_watched_can_be_ended(empty_project, fake_command):
    fake_command.plan("setup", messages=["first step"], hang=True)

    async def scenario(pilot):
        app = pilot.app
        app.push_screen(CommandScreen("Setting up", app.command, ["setup"]))
        await wait_for_text(pilot, "first step")
        await pilot.press("ctrl+x")
        await wait_for_text(pilot, "It was ended.")

    drive(bare_app(empty_project, command=fake_command.line), scenario)
    [call] = fake_command.asked("setup")
    wait_for(lambda: not Path(f"/proc/{call['process']}").exists())


def test_quitting_waits_for_nothing_that_acts(empty_project, make_run, fake_command):
    run = ended(make_run(), State.STOPPED)
    fake_command.plan("resume", waits_for="go", answer={"state": "queued"})

    async def scenario(pilot):
        await open_menu(pilot, run)
        await pilot.press("r")
        await wait_until(pilot, lambda: fake_command.asked("resume"))
        await pilot.press("q")

    drive(bare_app(empty_project, command=fake_command.line), scenario)
    [call] = fake_command.asked("resume")
    assert Path(f"/proc/{call['process']}").exists(), "what changes something goes on"
    fake_command.let("go")
    wait_for(lambda: not Path(f"/proc/{call['process']}").exists())
