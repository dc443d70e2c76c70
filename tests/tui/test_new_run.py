import errno
import json
from pathlib import Path

import pytest
from driving import NOW, drive, screen_text, wait_for_text, wait_until
from textual.widgets import TextArea

from rlmaster.project import Project
from tui.app import RlmasterApp
from tui.drafts.draft import Draft
from tui.drafts.draft_file import DraftFile
from tui.messages import RunAgain
from tui.screens.new_run import NewRunScreen
from tui.screens.run import RunScreen
from tui.screens.runs import RunsScreen
from tui.widgets.settings_list import SettingsList

WHY = 'Why "not"? $(x) [bold]'


def app_of(project, fake_command):
    return RlmasterApp(project, command=fake_command.line, clock=lambda: NOW)


async def type_text(pilot, text):
    await pilot.press(*text)


async def open_new_run(pilot):
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))
    await pilot.press("n")


async def go_to_settings(pilot):
    await open_new_run(pilot)
    await wait_for_text(pilot, "Can it draw the ball?")
    await pilot.press("enter")
    await wait_for_text(pilot, "nothing changed")


async def go_to_rationale(pilot):
    await go_to_settings(pilot)
    await pilot.press("ctrl+n")
    await wait_for_text(pilot, "Why this run?")


async def go_to_summary(pilot):
    await go_to_rationale(pilot)
    await type_text(pilot, WHY)
    await pilot.press("ctrl+n")
    await wait_for_text(pilot, "nobody is here")
    await pilot.press("enter")
    await wait_for_text(pilot, "1 run")


async def launch_grid(pilot, seeds):
    await go_to_settings(pilot)
    await go_to_field(pilot, "seed")
    await pilot.press(*seeds, "enter", "ctrl+n")
    await wait_for_text(pilot, "Why this run?")
    await type_text(pilot, WHY)
    await pilot.press("ctrl+n")
    await wait_for_text(pilot, "nobody is here")
    await pilot.press("enter")
    await wait_for_text(pilot, "runs, one for each combination")
    await pilot.press("enter")


async def go_to_field(pilot, name):
    settings = pilot.app.screen.query_one(SettingsList)
    settings.go_to(name)
    await pilot.pause()
    assert settings.field.name == name


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
    assert DraftFile(empty_project).read() is None


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
        await open_new_run(pilot)
        await wait_for_text(pilot, "cannot be run")
        await wait_for_text(pilot, "Can it draw the ball?")
        await pilot.press("up")
        await wait_for_text(pilot, "line 2: NameError")
        await pilot.press("enter")
        await wait_for_text(pilot, "a_broken cannot be run as it is.")
        await pilot.press("down", "enter")
        await wait_for_text(pilot, "nothing changed")

    drive(app_of(empty_project, fake_command), scenario, size=(60, 20))


def test_a_script_that_hangs_does_not_hold_the_others_up(empty_project, fake_command):
    sound = fake_command.answers["experiments --live"]["answers"][1]
    fake_command.plan("experiments --live", answers=[sound], hang=True)

    async def scenario(pilot):
        await go_to_rationale(pilot)

    drive(app_of(empty_project, fake_command), scenario)


# -------------------------------------------------------------------------------------- settings


def test_what_is_typed_is_judged_at_once_and_reaches_the_launch(
    empty_project, fake_command, make_run
):
    fake_command.plan("launch", answer={"run_folder": str(make_run().path)})

    async def scenario(pilot):
        await go_to_settings(pilot)
        await go_to_field(pilot, "training.updates")
        await type_text(pilot, "0")
        await wait_for_text(pilot, "'0' is not allowed; it must be a good integer")
        await pilot.press("enter", "ctrl+n")
        await wait_for_text(pilot, "training.updates: '0' is not allowed")
        await pilot.press("enter", "backspace", *"600", "tab")
        await wait_for_text(pilot, "1 changed")
        await go_to_field(pilot, "environment.protocol")
        await pilot.press("space")
        await wait_for_text(pilot, "2 changed")
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "Why this run?")
        await type_text(pilot, WHY)
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "nobody is here")
        await pilot.press("enter")
        await wait_for_text(pilot, "training.updates = 600  (changed here)")
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))

    drive(app_of(empty_project, fake_command), scenario)
    changes = ["--set", "training.updates=600", "--set", "environment.protocol=modern"]
    [call] = fake_command.asked("launch")
    assert call["arguments"][2:6] == changes
    checked = fake_command.asked("experiments")[-1]["arguments"]
    assert checked == ["experiments", "/experiments/pong.py", *changes, "--json"]


def test_keys_for_the_next_step_do_not_change_the_settings_while_these_are_checked(
    empty_project, fake_command
):
    checked = fake_command.answers["experiments"]["answer"]
    asked = "experiments /experiments/pong.py --set"
    fake_command.plan(asked, answer=checked, waits_for="checked")

    async def scenario(pilot):
        await go_to_settings(pilot)
        await go_to_field(pilot, "training.updates")
        await pilot.press("enter", "backspace", *"600", "enter", "ctrl+n", *"rr")
        await wait_for_text(pilot, "1 changed")
        fake_command.let("checked")
        await wait_for_text(pilot, "Why this run?")

    drive(app_of(empty_project, fake_command), scenario)


def test_keys_that_come_all_at_once_are_typed_in_order(empty_project, fake_command):
    async def scenario(pilot):
        await go_to_settings(pilot)
        settings = pilot.app.screen.query_one(SettingsList)
        for key in ("j", "7", "0", "left", "5", "enter", "j", "1", "enter"):
            settings.post_message(_key(key))
        await wait_for_text(pilot, "2 changed")
        assert settings._form.changes == {"training.updates": "750", "training.rate": "1"}

    drive(app_of(empty_project, fake_command), scenario)


def test_words_that_come_all_at_once_are_searched_for_in_whole(empty_project, fake_command):
    async def scenario(pilot):
        await go_to_settings(pilot)
        settings = pilot.app.screen.query_one(SettingsList)
        for key in ("slash", *"rate", "enter", "7", "enter"):
            settings.post_message(_key(key))
        await wait_for_text(pilot, "1 changed")
        await wait_for_text(pilot, "/ rate")
        assert settings._form.changes == {"training.rate": "7"}

    drive(app_of(empty_project, fake_command), scenario)


def test_a_search_does_not_hide_what_is_wrong(empty_project, fake_command):
    async def scenario(pilot):
        await go_to_settings(pilot)
        await go_to_field(pilot, "training.updates")
        await pilot.press("0", "enter", "/", *"rate", "enter", "ctrl+n")
        await wait_for_text(pilot, "training.updates: '0' is not allowed")
        settings = pilot.app.screen.query_one(SettingsList)
        assert settings.field.name == "training.updates"

    drive(app_of(empty_project, fake_command), scenario)


def _key(key):
    from textual.events import Key

    return Key(key, key if len(key) == 1 else None)


def test_what_the_command_finds_wrong_is_said_and_holds_the_person(empty_project, fake_command):
    async def scenario(pilot):
        await go_to_settings(pilot)
        problem = {"field": "training.rate", "message": "does not go with the updates"}
        form = fake_command.answers["experiments"]["answer"]
        fake_command.plan("experiments", answer={**form, "problems": [problem]})
        await go_to_field(pilot, "training.updates")
        await pilot.press(*"900", "enter", "ctrl+n")
        await wait_for_text(pilot, "training.rate: does not go with the updates")
        fake_command.plan("experiments", answer=form)
        await go_to_field(pilot, "training.updates")
        await pilot.press("r", "ctrl+n")
        await wait_for_text(pilot, "Why this run?")

    drive(app_of(empty_project, fake_command), scenario)


def test_a_value_that_is_left_with_escape_stays_as_it_was(empty_project, fake_command):
    async def scenario(pilot):
        await go_to_settings(pilot)
        await go_to_field(pilot, "seed")
        await pilot.press(*"1,2,3", "enter")
        await wait_for_text(pilot, "1 changed, 3 runs")
        await pilot.press("9", "escape")
        await wait_for_text(pilot, "1,2,3")
        await pilot.press("r")
        await wait_for_text(pilot, "nothing changed")

    drive(app_of(empty_project, fake_command), scenario)


def test_fields_are_found_by_words_and_escape_shows_all_again(empty_project, fake_command):
    async def scenario(pilot):
        await go_to_settings(pilot)
        await pilot.press("/", *"rate", "enter")
        settings = pilot.app.screen.query_one(SettingsList)
        await wait_until(pilot, lambda: settings.has_focus)
        assert [field.name for field in settings._fields] == ["training.rate"]
        await pilot.press("escape")
        await wait_until(pilot, lambda: len(settings._fields) == 5)
        assert isinstance(pilot.app.screen, NewRunScreen)

    drive(app_of(empty_project, fake_command), scenario)


def test_what_differs_from_the_default_and_the_newest_run_is_marked(
    empty_project, fake_command, make_run
):
    run = make_run()
    run.config_file.write_text(json.dumps({"name": "pong", "seed": 4, "training": {"rate": 0.5}}))

    async def scenario(pilot):
        await go_to_settings(pilot)
        await wait_for_text(pilot, " ~ seed")
        text = screen_text(pilot.app)
        assert " ≠  updates" in text
        assert "    rate" in text
        await go_to_field(pilot, "seed")
        await wait_for_text(pilot, "newest run 4")

    drive(app_of(empty_project, fake_command), scenario)


def test_what_a_run_needs_counts_for_the_ranking(empty_project, fake_command):
    async def scenario(pilot):
        await go_to_settings(pilot)
        await go_to_field(pilot, "requires.gpu")
        await pilot.press("space", "ctrl+n")
        await wait_for_text(pilot, "Why this run?")
        await type_text(pilot, WHY)
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "nobody is here")

    drive(app_of(empty_project, fake_command), scenario)
    asked = [call["arguments"] for call in fake_command.asked("hosts")]
    assert ["hosts", "--live", "5", "--json", "--need=gpu=true"] in asked


def test_a_host_that_has_not_answered_yet_is_not_called_unfit(empty_project, fake_command):
    silent = {"name": "box", "kind": "ssh", "fits": False, "reason": "no answer", "pending": True}
    fake_command.plan("hosts", answer={"hosts": [silent]})

    async def scenario(pilot):
        await go_to_rationale(pilot)
        await pilot.press("x", "ctrl+n")
        await wait_for_text(pilot, "· asking ...")
        assert "none fits now" not in screen_text(pilot.app)

    drive(app_of(empty_project, fake_command), scenario)


def test_a_form_survives_a_tiny_terminal(empty_project, fake_command):
    async def scenario(pilot):
        await go_to_settings(pilot)
        for size in ((20, 5), (10, 2), (140, 45)):
            await pilot.resize_terminal(*size)
            await pilot.press("down", "1", "enter")
        await wait_for_text(pilot, "changed")

    drive(app_of(empty_project, fake_command), scenario)


# -------------------------------------------------------------------------------------------- why


@pytest.mark.parametrize("blank", [[], ["space", "enter"]])
def test_an_empty_rationale_is_refused_with_a_sentence(empty_project, fake_command, blank):
    async def scenario(pilot):
        await go_to_rationale(pilot)
        await pilot.press(*blank, "ctrl+n")
        await wait_for_text(pilot, "Write why first")
        await type_text(pilot, "because")
        await wait_until(pilot, lambda: "Write why first" not in screen_text(pilot.app))
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "nobody is here")

    drive(app_of(empty_project, fake_command), scenario)


def test_an_earlier_rationale_is_taken_over_behind_what_is_written(
    empty_project, fake_command, make_run
):
    make_run("Is it\nthe ball?")
    make_run("Something else.", name="other")

    async def scenario(pilot):
        await go_to_rationale(pilot)
        await wait_for_text(pilot, "Is it")
        assert "Something else." not in screen_text(pilot.app)
        await type_text(pilot, "Again:")
        await pilot.press("tab", "enter")
        editor = pilot.app.screen.query_one(TextArea)
        await wait_until(pilot, lambda: editor.text == "Again:\n\nIs it\nthe ball?")
        assert editor.has_focus

    drive(app_of(empty_project, fake_command), scenario)


def test_pasted_control_characters_do_not_reach_the_draft(empty_project, fake_command):
    from textual.events import Paste

    async def scenario(pilot):
        await go_to_rationale(pilot)
        editor = pilot.app.screen.query_one(TextArea)
        pilot.app.post_message(Paste("a\x1b[31mb\nc"))
        await wait_until(pilot, lambda: editor.text)
        assert editor.text == "ab\nc"

    drive(app_of(empty_project, fake_command), scenario)


# ---------------------------------------------------------------------------------------- the draft


def test_going_back_loses_nothing(empty_project, fake_command, make_run):
    make_run()

    async def scenario(pilot):
        await go_to_rationale(pilot)
        await type_text(pilot, WHY)
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "no GPU is free")
        await pilot.press("end", "enter")
        await wait_for_text(pilot, "box: no GPU is free")
        for _ in range(5):
            await pilot.press("escape")
        await go_to_rationale(pilot)
        assert pilot.app.screen.query_one(TextArea).text == WHY
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "no GPU is free")
        await pilot.press("enter")
        await wait_for_text(pilot, "box: no GPU is free")

    drive(app_of(empty_project, fake_command), scenario)


def test_a_draft_survives_quitting_and_is_gone_on_with_where_one_was(empty_project, fake_command):
    async def write(pilot):
        await go_to_settings(pilot)
        await go_to_field(pilot, "seed")
        await pilot.press("4", "enter", "ctrl+n")
        await wait_for_text(pilot, "Why this run?")
        await type_text(pilot, "half a rea")

    async def go_on(pilot):
        await open_new_run(pilot)
        await wait_for_text(pilot, "half a rea")
        await wait_for_text(pilot, "ctrl+r starts afresh")
        await type_text(pilot, "son")
        assert pilot.app.screen._draft.changes == {"seed": "4"}
        await pilot.press("ctrl+r")
        await wait_for_text(pilot, "once more")
        assert DraftFile(empty_project).read() is not None
        await pilot.press("ctrl+r")
        await wait_for_text(pilot, "Can it draw the ball?")
        assert pilot.app.screen._draft.changes == {}

    drive(app_of(empty_project, fake_command), write)
    drive(app_of(empty_project, fake_command), go_on)
    assert DraftFile(empty_project).read() is None


def test_a_draft_survives_a_crash(empty_project, fake_command):
    async def scenario(pilot):
        await go_to_rationale(pilot)
        await type_text(pilot, "why")
        file = DraftFile(empty_project)
        await wait_until(pilot, lambda: (draft := file.read()) and draft.rationale == "why")

    drive(app_of(empty_project, fake_command), scenario)


@pytest.mark.parametrize("content", ["{", "{}", '{"step": "x"}', "[]"])
def test_a_damaged_draft_is_done_without(empty_project, content):
    file = DraftFile(empty_project)
    file.write(Draft(rationale="why").to_data())
    assert file.read().rationale == "why"
    file._path.write_text(content)
    assert file.read() is None
    file.write({**Draft(rationale="why").to_data(), "changes": ["seed"]})
    assert file.read() is None


def test_a_draft_of_no_experiment_begins_with_one(empty_project, fake_command):
    DraftFile(empty_project).write(Draft(rationale="why", step=4).to_data())

    async def scenario(pilot):
        await open_new_run(pilot)
        await wait_for_text(pilot, "Can it draw the ball?")

    drive(app_of(empty_project, fake_command), scenario)


def test_who_has_no_runs_can_leave_and_come_back(empty_project, fake_command):
    async def scenario(pilot):
        for _ in range(2):
            await open_new_run(pilot)
            await wait_for_text(pilot, "Can it draw the ball?")
            await pilot.press("escape")

    drive(app_of(empty_project, fake_command), scenario)


def test_a_full_disk_does_not_end_the_app(empty_project, fake_command, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario(pilot):
        await go_to_summary(pilot)
        monkeypatch.setattr("tui.steps.launch_step.NamedTemporaryFile", refuse)
        await pilot.press("enter")
        await wait_for_text(pilot, "cannot be written to a temporary file")
        await wait_for_text(pilot, "Nothing is lost")

    drive(app_of(empty_project, fake_command), scenario)


def test_changes_are_kept_only_for_the_script_that_they_were_made_to(empty_project, fake_command):
    async def scenario(pilot):
        await go_to_settings(pilot)
        await go_to_field(pilot, "seed")
        await pilot.press("4", "enter")
        await wait_for_text(pilot, "1 changed")
        other = {**fake_command.answers["experiments"]["answer"], "file": "/o.py", "name": "other"}
        fake_command.plan("experiments --live", answers=[other])
        await pilot.press("escape")
        await wait_for_text(pilot, "other")
        await wait_until(pilot, lambda: pilot.app.screen._draft.experiment.name == "other")
        assert pilot.app.screen._draft.changes == {}

    drive(app_of(empty_project, fake_command), scenario)


# -------------------------------------------------------------------------------------- launching


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


def test_of_a_grid_that_fails_half_way_only_the_rest_is_launched_again(
    empty_project, fake_command, make_run
):
    first, second = make_run(), make_run()
    answer = {"runs": [{"run_folder": str(first.path)}]}
    fake_command.plan("launch", messages=["the link broke"], answer=answer, exit_code=3)

    async def scenario(pilot):
        await launch_grid(pilot, "1,2")
        await wait_for_text(pilot, "press enter to launch the rest")
        answer = {"runs": [{"run_folder": str(second.path)}]}
        fake_command.plan("launch", answer=answer)
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))

    drive(app_of(empty_project, fake_command), scenario)
    again = fake_command.asked("launch")[-1]["arguments"]
    assert again[2:4] == ["--set", "seed=1,2"]
    assert again[-2:] == ["--begin-at", "2"]


def test_of_a_grid_that_is_cancelled_half_way_only_the_rest_is_launched(
    empty_project, fake_command, make_run
):
    said = ["launching 1 of 3 on local", "launching 2 of 3 on local", "copying the code"]
    fake_command.plan("launch", messages=said, hang=True)

    async def scenario(pilot):
        await launch_grid(pilot, "1,2,3")
        await wait_for_text(pilot, "copying the code")
        await pilot.press("ctrl+x")
        await wait_for_text(pilot, "Cancelled with 1 run launched. Number 2 was under way")
        fake_command.plan("launch", answer={"run_folder": str(make_run().path)})
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))

    drive(app_of(empty_project, fake_command), scenario)
    assert fake_command.asked("launch")[-1]["arguments"][-2:] == ["--begin-at", "2"]


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


@pytest.mark.parametrize("command", ["experiments --live", "experiments", "hosts"])
def test_a_command_that_fails_says_why(empty_project, fake_command, command):
    fake_command.plan(command, messages=["hosts.toml is \x1b[31mnot valid[/b]"], exit_code=2)

    async def scenario(pilot):
        await open_new_run(pilot)
        if command == "experiments":
            await wait_for_text(pilot, "Can it draw the ball?")
            await pilot.press("enter")
        if command == "hosts":
            await wait_for_text(pilot, "Can it draw the ball?")
            await pilot.press("enter")
            await wait_for_text(pilot, "nothing changed")
            await pilot.press("ctrl+n")
            await wait_for_text(pilot, "Why this run?")
            await pilot.press("x", "ctrl+n")
        await wait_for_text(pilot, "hosts.toml is not valid[/b]")

    drive(app_of(empty_project, fake_command), scenario, size=(60, 20))


# -------------------------------------------------------------------------------------- run again


def test_a_run_is_made_again_with_changes(empty_project, fake_command, make_run):
    parent = make_run("The first time.")
    fake_command.plan("branch", answer={"run_folder": str(make_run().path)})

    async def scenario(pilot):
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))
        pilot.app.screen.post_message(RunAgain(parent.path))
        await wait_for_text(pilot, "What does the new run take from")
        await pilot.press("down", "enter")
        await wait_for_text(pilot, "nothing changed")
        await go_to_field(pilot, "training.updates")
        await pilot.press(*"900", "enter", "ctrl+n")
        await wait_for_text(pilot, "The first time.")
        await type_text(pilot, WHY)
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "nobody is here")
        await pilot.press("enter")
        await wait_for_text(pilot, "again, from its newest checkpoint")
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))

    drive(app_of(empty_project, fake_command), scenario)
    asked = fake_command.asked("experiments")[0]["arguments"]
    assert asked == ["experiments", "--run", str(parent.path), "--json"]
    [call] = fake_command.asked("branch")
    start = ["branch", str(parent.path), "--from", "newest", "--set", "training.updates=900"]
    assert call["arguments"][:6] == start


# ------------------------------------------------------------------------------------ the real one


@pytest.mark.learns
def test_the_real_commands_lead_to_a_run(project, rlmaster, monkeypatch):
    for name, value in rlmaster.environment.items():
        monkeypatch.setenv(name, value)

    async def scenario(pilot):
        await open_new_run(pilot)
        await wait_for_text(pilot, "Pong: a tiny autoencoder.")
        await pilot.press("enter")
        await wait_for_text(pilot, "nothing changed")
        await go_to_field(pilot, "training.updates")
        await pilot.press("2", "1", "enter", "ctrl+n")
        await wait_for_text(pilot, "Why this run?")
        await type_text(pilot, "Is it real?")
        await pilot.press("ctrl+n")
        await wait_for_text(pilot, "now local")
        await pilot.press("enter")
        await wait_for_text(pilot, "training.updates = 21")
        assert isinstance(pilot.app.screen, NewRunScreen)
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        await wait_for_text(pilot, "running")

    drive(RlmasterApp(Project(project)), scenario)
