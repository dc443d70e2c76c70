import json
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmaster.cli.terminal import answer, answer_json, plain, say

BIDIRECTIONAL = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

hostile = st.text(
    st.characters() | st.sampled_from("\x1b\x9b[]0;?mHJ\\\x07\n\t\r\b\x7f" + BIDIRECTIONAL),
    max_size=40,
)


@given(hostile)
def test_plain_text_has_no_control_characters(text):
    shown = plain(text)
    assert not {c for c in shown if unicodedata.category(c) == "Cc"} - {"\n", "\t"}
    assert not set(shown) & set(BIDIRECTIONAL)


@given(
    st.text(
        st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=BIDIRECTIONAL)
        | st.sampled_from("\n\t")
    )
)
def test_honest_text_stays_as_it_is(text):
    assert plain(text) == text


@given(hostile)
def test_plain_text_is_plain(text):
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hmoved", "moved"),
        ("\x9b31mC1", "31mC1"),
        ("a\rb\x08c\x07d", "abcd"),
        ("half \x1b", "half "),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1b]0;no end\nb\x07", "a0;no end\nb"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
    ],
)
def test_what_moves_the_cursor_or_colours_is_taken_out(text, shown):
    assert plain(text) == shown


def test_sentences_go_to_stderr_and_answers_to_stdout(capsys):
    say("a \x1b[31msentence")
    answer("an \x1b[31manswer")

    assert capsys.readouterr() == ("an answer\n", "a sentence\n")


@pytest.fixture
def said(monkeypatch, capsys) -> Callable[[str], str]:
    """What a person reads of a sentence in a terminal of 30 columns."""
    monkeypatch.setenv("COLUMNS", "30")

    def read(text: str) -> str:
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        say(text)
        return capsys.readouterr().err

    return read


def test_at_a_terminal_a_sentence_is_broken_between_words(said):
    assert said("a sentence that is longer than its terminal\nand another") == (
        "a sentence that is longer than\nits terminal\nand another\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        "run folder  /home/me/my projects/runs of today/x",
        "the rationale in '/home/me/my own words.md' cannot be read",
        "what you wrote is still in ~/my own words.md, as it was",
        "../my projects/runs of today and tomorrow/x is gone",
    ],
)
def test_a_path_with_spaces_is_left_to_the_terminal_to_break(said, line):
    assert said(line) == f"{line}\n"


def test_a_slash_within_a_word_is_no_path(said):
    shown = said("training goes on at 12 updates/s and and/or something else")

    assert max(map(len, shown.splitlines())) <= 30


def test_a_json_answer_is_one_line_without_escape_sequences(capsys):
    data = {"text": "ü \x1b[31m \n", "none": None}
    answer_json(data)

    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1
    assert "\x1b" not in out
    assert json.loads(out) == data
