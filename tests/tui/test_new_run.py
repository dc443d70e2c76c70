from pathlib import Path

import pytest
from conftest import NOW
from driving import drive, screen_text, wait_for_text, wait_until
from textual.widgets import TextArea

from rlmaster.project import Project
from tui.app import RlmasterApp
from tui.screens.new_run import NewRunScreen
from tui.screens.run import RunScreen
from tui.screens.runs import RunsScreen

WHY = 'Why "not"? $(x) [bold]'


def app_of(project, fake_command):
    return RlmasterApp(project, command=fake_command.line, clock=lambda: NOW)


async def type_text(pilot, text):
    await pilot.press(*text)


async def go_to_rationale(pilot):
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))
    await pilot.press("n")
    await wait_for_text(pilot, "Can it draw the ball?")
    await pilot.press("enter")
    await wait_for_text(pilot, "Why this run?")


async def go_to_summary(pilot):
    await go_to_rationale(pilot)
    await type_text(pilot, WHY)
    await pilot.press("ctrl+n")
    await wait_for_text(pilot, "nobody is here")
    await pilot.press("enter")
    await wait_for_text(pilot, "Settings")


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 60)])
def test_a_run_is_launched_step_by_step(empty_project, fake_command, make_run, size):
    launched = make_run(name="pong", rationale="An earlier reason.")
    answer = {"run_id": launched.id, "run_folder": str(launched.path), "state": "running"}
    fake_command.plan("launch", messages=["code kept", "worker started"], answer=answer)

    async def scenario(pilot):
        await go_to_rationale(pilot)
        await wait_for_text(pilot, "An earlier reason.")
        await type_text(pilot, WHY)
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "no GPU is free")
        await pilot.press("down", "enter")
        await wait_for_text(pilot, "training.updates = 300")
        assert "local: nobody is here" in screen_text(pilot.app)
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        await wait_for_text(pilot, launched.short_id)
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))

    drive(app_of(empty_project, fake_command), scenario, size)
    [call] = fake_command.asked("launch")
    file = call["rationale_file"]
    assert call["rationale"] == WHY
    assert not Path(file).exists()
    given = ["--rationale-file", file, "--host", "local", "--yes", "--detach", "--json"]
    assert call["arguments"] == ["launch", "/experiments/pong.py", *given]


def test_auto_is_what_enter_takes(empty_project, fake_command, make_run):
    fake_command.plan("launch", answer={"run_folder": str(make_run().path)})

    async def scenario(pilot):
        await go_to_summary(pilot)
        assert "auto: now local, nobody is here" in screen_text(pilot.app)
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))

    drive(app_of(empty_project, fake_command), scenario)
    [call] = fake_command.asked("launch")
    assert call["arguments"][4:6] == ["--host", "auto"]


def test_a_script_that_fails_says_why_and_the_others_work(empty_project, fake_command):
    async def scenario(pilot):
        await pilot.press("n")
        await wait_for_text(pilot, "cannot be run")
        await pilot.press("up")
        await wait_for_text(pilot, "line 2: NameError")
        await pilot.press("enter")
        await wait_for_text(pilot, "a_broken cannot be run as it is.")
        await pilot.press("down", "enter")
        await wait_for_text(pilot, "Why this run?")

    drive(app_of(empty_project, fake_command), scenario, size=(60, 20))


@pytest.mark.parametrize("blank", [[], ["space", "enter"]])
def test_an_empty_rationale_is_refused_with_a_sentence(empty_project, fake_command, blank):
    async def scenario(pilot):
        await go_to_rationale(pilot)
        await pilot.press(*blank, "ctrl+n")
        await wait_for_text(pilot, "Write why first")
        await type_text(pilot, "because")
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "nobody is here")

    drive(app_of(empty_project, fake_command), scenario)


def test_going_back_loses_nothing(empty_project, fake_command):
    async def scenario(pilot):
        await go_to_rationale(pilot)
        await type_text(pilot, WHY)
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "no GPU is free")
        await pilot.press("end", "enter")
        await wait_for_text(pilot, "box: no GPU is free")
        for _ in range(4):
            await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))
        await go_to_rationale(pilot)
        assert pilot.app.screen.query_one(TextArea).text == WHY
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "no GPU is free")
        await pilot.press("enter")
        await wait_for_text(pilot, "box: no GPU is free")

    drive(app_of(empty_project, fake_command), scenario)


def test_a_launch_that_fails_says_why_and_can_be_repeated(empty_project, fake_command, make_run):
    fake_command.plan("launch", messages=["box cannot be reached; is it on?"], exit_code=3)

    async def scenario(pilot):
        await go_to_summary(pilot)
        await pilot.press("enter")
        await wait_for_text(pilot, "Nothing is lost")
        assert "box cannot be reached; is it on?" in screen_text(pilot.app)
        await wait_for_text(pilot, "⏎ Launch")
        fake_command.plan("launch", answer={"run_folder": str(make_run().path)})
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))

    drive(app_of(empty_project, fake_command), scenario)


def test_a_launch_under_way_is_cancelled_only_on_purpose(empty_project, fake_command):
    fake_command.plan("launch", messages=["copying the code"], hang=True)

    async def scenario(pilot):
        await go_to_summary(pilot)
        await pilot.press("enter")
        await wait_for_text(pilot, "copying the code")
        await pilot.press("enter", "escape")
        await wait_for_text(pilot, "ctrl+x cancels it")
        await pilot.press("ctrl+x")
        await wait_for_text(pilot, "Cancelled.")
        await pilot.press("escape")
        await wait_for_text(pilot, "no GPU is free")

    drive(app_of(empty_project, fake_command), scenario)
    assert len(fake_command.asked("launch")) == 1


@pytest.mark.parametrize("command", ["experiments", "hosts"])
def test_a_command_that_fails_says_why(empty_project, fake_command, command):
    fake_command.plan(command, messages=["hosts.toml is \x1b[31mnot valid[/b]"], exit_code=2)

    async def scenario(pilot):
        if command == "experiments":
            await pilot.press("n")
        else:
            await go_to_rationale(pilot)
            await pilot.press("x", "ctrl+n")
        await wait_for_text(pilot, "hosts.toml is not valid[/b]")

    drive(app_of(empty_project, fake_command), scenario, size=(60, 20))


def test_pasted_control_characters_do_not_reach_the_draft(empty_project, fake_command):
    from textual.events import Paste

    async def scenario(pilot):
        await go_to_rationale(pilot)
        editor = pilot.app.screen.query_one(TextArea)
        pilot.app.post_message(Paste("a\x1b[31mb\nc"))
        await wait_until(pilot, lambda: editor.text)
        assert editor.text == "ab\nc"

    drive(app_of(empty_project, fake_command), scenario)


def test_the_real_commands_lead_to_a_run(project, rlmaster, monkeypatch):
    for name, value in rlmaster.environment.items():
        monkeypatch.setenv(name, value)

    async def scenario(pilot):
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))
        await pilot.press("n")
        await wait_for_text(pilot, "Pong: a tiny autoencoder.")
        await pilot.press("enter")
        await type_text(pilot, "Is it real?")
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "now local")
        await pilot.press("enter")
        await wait_for_text(pilot, "training.updates = 20")
        assert isinstance(pilot.app.screen, NewRunScreen)
        await pilot.press("enter")
        await wait_for_text(pilot, "Log")
        await wait_for_text(pilot, "running")

    drive(RlmasterApp(Project(project)), scenario)
