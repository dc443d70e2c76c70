import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from rlmaster.cli.layout import Column, fitted, one_line, table_lines, wrapped


def lines(columns, width=None, *, coloured=False) -> list[str]:
    return list(table_lines(columns, width, coloured=coloured))


RUN = Column("run", ["abc234", "x"])
WHY = Column("why", ["because it is so", "日本語の理由"], least=6, importance=1)
AGE = Column("age", ["3m", "12d"], importance=2)


def test_without_a_limit_nothing_is_cut():
    assert lines([RUN, WHY, AGE]) == [
        "run     why               age",
        "abc234  because it is so  3m",
        "x       日本語の理由      12d",
    ]


def test_what_is_too_wide_is_cut_where_it_may_be():
    assert lines([RUN, WHY, AGE], 20) == [
        "run     why      age",
        "abc234  becaus…  3m",
        "x       日本語…  12d",
    ]


def test_what_matters_least_is_left_out_first():
    assert lines([RUN, WHY, AGE], 17) == ["run     why", "abc234  because …", "x       日本語の…"]
    assert lines([RUN, WHY, AGE], 10) == ["run", "abc234", "x"]
    assert lines([RUN], 3) == ["run", "abc234", "x"]


def test_colours_do_not_count_as_width():
    state = Column("state", ["failed", "completed"], colours=["red", ""])

    assert lines([state, AGE], coloured=True) == [
        "state      age",
        "\x1b[31mfailed   \x1b[0m  3m",
        "completed  12d",
    ]
    assert lines([state, AGE])[1] == "failed     3m"


@given(st.text().map(one_line), st.integers(2, 12))
def test_a_cell_has_exactly_its_width(text, width):
    assert cell_len(fitted(text, width)) == width


@pytest.mark.parametrize("text", ["a\nb", "a\r\n b", "a\x1b[2J b", "\ta \u2028 b"])
def test_a_cell_is_one_line_that_moves_no_cursor(text):
    assert one_line(text) == "a b"


def test_paragraphs_are_wrapped_between_words():
    assert wrapped("one two three\nfour", 8) == ["one two", "three", "four"]
    assert wrapped("abcdefgh ij", 3) == ["abc", "def", "gh", "ij"]
    assert wrapped("日本語の理由", 5) == ["日本", "語の", "理由"]


@given(st.text(), st.integers(2, 12))
def test_wrapped_text_fits_and_loses_nothing(text, width):
    found = wrapped(text, width)

    assert all(cell_len(line) <= width for line in found)
    assert "".join("".join(found).split()) == "".join("".join(wrapped(text, 10**6)).split())
