import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmaster.cli.terminal import answer, answer_json, plain, say

hostile = st.text(
    st.characters() | st.sampled_from("\x1b\x9b[]0;?mHJ\x07\n\t\r\b\x7f"), max_size=40
)


@given(hostile)
def test_plain_text_has_no_control_characters(text):
    assert not {c for c in plain(text) if unicodedata.category(c) == "Cc"} - {"\n", "\t"}


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t")))
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
    ],
)
def test_what_moves_the_cursor_or_colours_is_taken_out(text, shown):
    assert plain(text) == shown


def test_sentences_go_to_stderr_and_answers_to_stdout(capsys):
    say("a \x1b[31msentence")
    answer("an \x1b[31manswer")

    assert capsys.readouterr() == ("an answer\n", "a sentence\n")


def test_a_json_answer_is_one_line_without_escape_sequences(capsys):
    data = {"text": "ü \x1b[31m \n", "none": None}
    answer_json(data)

    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1
    assert "\x1b" not in out
    assert json.loads(out) == data
