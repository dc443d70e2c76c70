from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlmaster.errors import UsageError
from rlmaster.user_config import (
    NOTICE_KINDS,
    PATH_VARIABLE,
    PUSHED_KINDS,
    AppConfig,
    UserConfig,
    read_user_config,
    user_config_path,
)

SECRET = "ntfys://somebody:s3cret@example.org/t0pic"


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """Where the test's own file lies."""
    path = tmp_path / "config.toml"
    monkeypatch.setenv(PATH_VARIABLE, str(path))
    return path


def refusal(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_user_config()
    assert "s3cret" not in str(caught.value)
    return str(caught.value).replace(f"{path.parent}/", "").split("\n")


# ----------------------------------------------------------------------------------------- where


def test_it_lies_where_xdg_says(monkeypatch, tmp_path):
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert user_config_path() == tmp_path / "xdg" / "rlmaster" / "config.toml"


@pytest.mark.parametrize("base", ["", "relative/path"])
def test_without_a_place_from_xdg_it_lies_under_home(monkeypatch, tmp_path, base):
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", base)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_config_path() == tmp_path / ".config" / "rlmaster" / "config.toml"


# ---------------------------------------------------------------------------------------- reading


def test_without_a_file_the_desktop_is_told_and_nothing_pushed(path):
    assert read_user_config() == UserConfig(path)
    assert UserConfig(path).desktop
    assert UserConfig(path).push == ()


def test_everything_can_be_chosen(path):
    path.write_text(
        f'[notify]\npush = ["{SECRET}", "json://localhost"]\n'
        'desktop = false\nkinds = ["failed", "new_best"]\n'
    )
    path.chmod(0o600)

    assert read_user_config() == UserConfig(
        path,
        push=(SECRET, "json://localhost"),
        desktop=False,
        kinds=frozenset({"failed", "new_best"}),
    )


def test_usually_all_is_pushed_but_a_start_and_each_new_best():
    assert set(NOTICE_KINDS) - PUSHED_KINDS == {"started", "new_best"}


def test_what_is_printed_of_it_shows_no_address(path):
    assert "s3cret" not in repr(UserConfig(path, push=(SECRET,)))


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o640, True), (0o604, True)])
def test_addresses_that_others_may_read_are_warned_of(path, mode, is_open):
    path.write_text(f'[notify]\npush = ["{SECRET}"]\n')
    path.chmod(mode)

    assert (str(path) in read_user_config().warning) is is_open
    path.write_text("[notify]\ndesktop = true\n")
    assert read_user_config().warning == ""


# --------------------------------------------------------------------------------------- refusing


def test_unknown_words_are_refused_with_their_line_and_what_comes_near(path):
    text = f'[notify]\npusch = ["{SECRET}"]\n\n[notifi]\n'

    assert refusal(path, text) == [
        "config.toml, line 4: notifi is no table that is known here; did you mean notify?",
        "config.toml, line 2: pusch is no key that is known in [notify]; did you mean push?",
    ]


def test_a_kind_of_notice_that_is_none_is_refused(path):
    (problem,) = refusal(path, '[notify]\n\nkinds = ["failed", "finisht"]\n')

    assert problem == (
        "config.toml, line 3: kinds has no kind of notice as entry 2; did you mean finished?"
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f'push = "{SECRET}"', 'push must be a list of texts, such as ["one", "another"]'),
        ("push = [3]", 'push must be a list of texts, such as ["one", "another"]'),
        (
            f'push = ["{SECRET}", "s3cret@example.org"]',
            "push must hold URLs such as ntfys://ntfy.sh/topic; entry 2 is none",
        ),
        (
            'push = ["json://s3cret\\u001b[31m"]',
            "push must hold URLs such as ntfys://ntfy.sh/topic; entry 1 is none",
        ),
        ('desktop = "yes"', "desktop must be true or false"),
        ("desktop = 1", "desktop must be true or false"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_and_never_repeated(path, line, problem):
    assert refusal(path, f"[notify]\n{line}\n") == [f"config.toml, line 2: {problem}"]


def test_the_app_looks_as_the_file_says(path):
    assert UserConfig(path).app == AppConfig("dark", "blocks")
    path.write_text('[notify]\ndesktop = false\n[app]\ntheme = "light"\npictures = "sixel"\n')
    config = read_user_config()
    assert config.app == AppConfig("light", "sixel")
    assert not config.desktop


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('theme = "drak"', "theme must be one of dark, light; did you mean dark?"),
        ("pictures = 3", "pictures must be one of blocks, sixel, kitty"),
        ("font = 3", "font is no key that is known in [app]; there is theme, pictures"),
    ],
)
def test_what_the_app_cannot_do_is_refused(path, line, problem):
    assert refusal(path, f"[app]\n{line}\n") == [f"config.toml, line 2: {problem}"]


def test_a_key_outside_the_table_is_refused(path):
    assert refusal(path, f'push = ["{SECRET}"]\nnotify = 3\n') == [
        "config.toml, line 1: push is no table that is known here; there is notify, app",
        "config.toml, line 2: notify must be a table",
    ]


def test_what_is_no_toml_is_refused_with_its_line(path):
    (problem,) = refusal(path, f'[notify]\npush = ["{SECRET}"\n[s3cret')

    assert problem.startswith("config.toml is not valid TOML")
    assert "line 3" in problem


def test_bytes_that_are_no_text_are_refused(path):
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not text in UTF-8"):
        read_user_config()


def test_a_folder_in_its_place_is_refused(path):
    path.mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        read_user_config()


@given(text=st.text() | st.text(alphabet="[]notify=\"push.{}\n 'kds"))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_written_there_is_read_or_refused(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    with suppress(UsageError):
        assert read_user_config().path == path
