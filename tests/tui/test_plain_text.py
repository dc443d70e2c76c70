import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.words.plain_text import fit, log_line, one_line, printable, unwrapped

HOSTILE = st.text(st.characters() | st.sampled_from("\x1b[]\x07\x9b\x9d;m\r\n\t\ufe0f\u202e"))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("\x1b[2J\x1b[Htop", "top"),
        ("a\x00b\x08c\x7f", "abc"),
        ("safe\u202eelif", "safeelif"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("日本\ud800語", "日本語"),
        ("a\tb", "a   b"),
        ("one\r\ntwo", "one\ntwo"),
    ],
)
def test_only_what_shows_is_left(raw, shown):
    assert printable(raw) == shown


@given(HOSTILE)
def test_nothing_that_moves_the_cursor_is_ever_left(text):
    left = {unicodedata.category(c) for c in printable(text) if c != "\n"}
    assert left.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    printable(text).encode()


@given(HOSTILE, st.integers(0, 40))
def test_a_fitted_text_has_exactly_its_width(text, width):
    assert cell_len(fit(one_line(text), width)) == width


def test_a_cut_text_says_that_it_was_cut():
    assert fit("abcdef", 4) == "abc…"
    assert fit("日本語", 4) == "日… "


def test_a_progress_bar_in_a_log_is_its_last_state():
    assert log_line("10 %\r20 %\r30 %\r") == "30 %"


def test_one_line_is_the_first_that_says_something():
    assert one_line("\n  \n why \n because") == "why"
    assert one_line(" \n") == ""


def test_paragraphs_are_joined_and_lists_are_not():
    assert unwrapped("one\ntwo\n\nthree\n- a\n- b") == "one two\n\nthree\n- a\n- b"
