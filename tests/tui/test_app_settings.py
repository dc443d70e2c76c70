import json

import pytest
from acting_app import bare_app
from driving import drive, wait_for_text, wait_until

from rlmaster.user_config import PATH_VARIABLE
from tui.app import RlmasterApp
from tui.settings import Remembered, Settings, settings_path


def test_what_is_remembered_comes_back():
    Settings().remember(theme="light", side_pane=False)
    assert Settings().remembered == Remembered(theme="light", side_pane=False)
    assert json.loads(settings_path().read_text())["theme"] == "light"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\x00", b'{"theme": 3, "unkept": {"a": 1}, "other": {}}', b'"x"'],
)
def test_a_damaged_file_is_as_good_as_none(content):
    settings_path().parent.mkdir(parents=True)
    settings_path().write_bytes(content)
    assert Settings().remembered == Remembered()
    Settings().remember(sort="age")
    assert Settings().remembered.sort == "age"


def test_two_apps_do_not_undo_each_others_changes():
    first, second = Settings(), Settings()
    first.remember(theme="light")
    second.remember(sort="age")
    first.set_aside("note", "half a sentence")
    assert Settings().remembered == Remembered("light", "age", True, {"note": "half a sentence"})


def test_a_text_that_is_set_aside_is_forgotten_once_it_is_empty():
    settings = Settings()
    settings.set_aside("note", "words")
    assert Settings().written("note") == "words"
    settings.set_aside("note", " ")
    assert Settings().written("note") is None


def test_where_nothing_can_be_written_it_holds_until_the_end(own_state):
    own_state.mkdir()
    (own_state / "rlmaster").touch()
    settings = Settings()
    settings.remember(theme="light")
    assert settings.remembered.theme == "light"


def test_the_theme_is_that_of_the_config_until_it_is_switched(
    empty_project, fake_command, tmp_path, monkeypatch
):
    config = tmp_path / "config.toml"
    config.write_text('[app]\ntheme = "light"\n')
    monkeypatch.setenv(PATH_VARIABLE, str(config))

    async def switch(pilot):
        assert pilot.app.theme == "textual-light"
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: pilot.app.theme == "textual-dark")

    drive(bare_app(empty_project, command=fake_command.line), switch)
    assert RlmasterApp(empty_project).theme == "textual-dark"


def test_a_config_that_is_wrong_is_mentioned_and_passed_over(
    empty_project, fake_command, tmp_path, monkeypatch
):
    config = tmp_path / "config.toml"
    config.write_text('[app]\ntheme = "pink"\n')
    monkeypatch.setenv(PATH_VARIABLE, str(config))

    async def scenario(pilot):
        assert pilot.app.theme == "textual-dark"
        await wait_until(pilot, lambda: "theme must be one of dark, light" in str(pilot.app.told))

    drive(bare_app(empty_project, command=fake_command.line), scenario)


def test_the_list_of_runs_comes_back_as_it_was_left(empty_project, make_run, fake_command):
    make_run()

    async def leave(pilot):
        await wait_for_text(pilot, "1 run ")
        await pilot.press("p", "s")
        await wait_for_text(pilot, "oldest first")
        await pilot.press("down", "enter")
        await wait_for_text(pilot, "1 run  oldest first")

    async def come_back(pilot):
        await wait_for_text(pilot, "1 run  oldest first")
        assert not Settings().remembered.side_pane

    drive(RlmasterApp(empty_project, command=fake_command.line), leave)
    drive(RlmasterApp(empty_project, command=fake_command.line), come_back)
