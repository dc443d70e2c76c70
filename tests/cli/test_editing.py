import sys
from pathlib import Path

import pytest

from rlmaster.cli.editing import edited, given_text
from rlmaster.errors import UsageError

OPTIONS = ("--text", "--file")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where the files lie that are edited."""
    folder = tmp_path / "texts"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.delenv("VISUAL", raising=False)
    return folder


def use_editor(monkeypatch, code: str) -> None:
    """Edit with a line of Python that knows the `file`."""
    program = f"import pathlib, sys; file = pathlib.Path(sys.argv[-1]); {code}"
    monkeypatch.setenv("EDITOR", f"'{sys.executable}' -c '{program}'")


def test_what_the_person_makes_of_the_text_comes_back(folder, monkeypatch):
    use_editor(monkeypatch, 'file.write_text(file.read_text() + " and ü")')

    with edited("what was there", what="conclusion") as words:
        assert words == "what was there and ü"

    assert list(folder.iterdir()) == []


def test_an_editor_that_replaces_the_file_is_as_good(folder, monkeypatch):
    use_editor(
        monkeypatch, 'new = file.with_name("new"); new.write_text("other"); new.replace(file)'
    )

    with edited("what was there", what="conclusion") as words:
        assert words == "other"

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("editor", "why"),
    [
        ("/nonexistent/editor", "/nonexistent/editor: No such file or directory"),
        ("'", "No closing quotation"),
    ],
)
def test_an_editor_that_cannot_be_used_is_a_sentence(folder, monkeypatch, editor, why):
    monkeypatch.setenv("EDITOR", editor)

    with (
        pytest.raises(UsageError) as refused,
        edited("what was there", what="conclusion"),
    ):
        raise AssertionError("there is no text")

    assert str(refused.value) == (
        f"the editor could not be used ({why}); set EDITOR to one that is installed"
    )
    assert list(folder.iterdir()) == []


def test_an_editor_that_is_left_with_an_error_changes_nothing(folder, monkeypatch):
    use_editor(monkeypatch, "raise SystemExit(3)")

    with (
        pytest.raises(UsageError, match=r"^the editor ended with 3, so nothing was changed$"),
        edited("what was there", what="conclusion"),
    ):
        raise AssertionError("there is no text")

    assert list(folder.iterdir()) == []


def test_words_that_could_not_be_kept_stay_in_their_file(folder, monkeypatch, capsys):
    use_editor(monkeypatch, 'file.write_text("hours of work")')

    with pytest.raises(OSError, match="full"), edited("", what="conclusion"):
        raise OSError(28, "the disk is full")

    (kept,) = folder.iterdir()
    assert kept.read_text() == "hours of work"
    assert kept.name.startswith("conclusion-")
    assert capsys.readouterr().err == f"what you wrote is still in {kept}\n"


def test_nothing_is_left_where_nothing_was_written(folder, monkeypatch):
    use_editor(monkeypatch, "pass")

    with pytest.raises(KeyboardInterrupt), edited("what was there", what="conclusion"):
        raise KeyboardInterrupt

    assert list(folder.iterdir()) == []


def test_a_text_is_given_as_it_is_or_in_a_file(tmp_path):
    (tmp_path / "text").write_text("in a file\n")

    assert given_text("as it is", None, what="text", options=OPTIONS) == "as it is"
    assert given_text(None, tmp_path / "text", what="text", options=OPTIONS) == "in a file\n"
    assert given_text(None, None, what="text", options=OPTIONS) is None


def test_a_text_that_is_given_twice_or_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "latin").write_bytes(b"caf\xe9")

    with pytest.raises(UsageError, match="give --text or --file, not both"):
        given_text("as it is", tmp_path / "none", what="text", options=OPTIONS)
    for name, why in (
        ("none", "No such file or directory"),
        ("", "Is a directory"),
        ("latin", "it is not text in UTF-8; save it as such"),
    ):
        with pytest.raises(UsageError) as refused:
            given_text(None, tmp_path / name, what="conclusion", options=OPTIONS)
        assert str(refused.value) == f"the conclusion in {tmp_path / name} cannot be read ({why})"
