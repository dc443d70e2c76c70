from datetime import UTC, datetime, timedelta

import pytest

from tui.words.wording import age, duration, number, parse_time, result, share

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"), (3 * 86_400, "3d")],
)
def test_an_age_is_four_characters_at_most(seconds, words):
    assert age(NOW - timedelta(seconds=seconds), NOW) == words


def test_an_unknown_age_is_a_dash():
    assert age(None, NOW) == "–"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(46, "0:46"), (59.6, "1:00"), (7400, "2:03:20"), (float("inf"), "–"), (float("nan"), "–")],
)
def test_a_duration_reads_like_a_clock(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(50_000, "50,000"), (0.00312345, "0.003123"), (1234.5, "1,234"), (None, "–"), ("x", "–")],
)
def test_a_number_is_short(value, words):
    assert number(value) == words


def test_a_share_needs_a_total():
    assert share(5, 0) == "–"
    assert share(1, 3) == "33 %"
    assert share(7, 3) == "100 %"


def test_a_result_may_be_unknown_or_hostile():
    assert result({}) == ""
    assert result({"value": 0.5, "before": 2.0, "unit": "\x1b[31mpx"}) == "0.5 px (before 2)"
    assert result({"value": 0.5, "before": 2.0}, with_before=False) == "0.5"
    assert result({"value": None}) == "–"


def test_what_is_no_time_is_none():
    assert parse_time("yesterday") is None
    assert parse_time("2030-01-01T00:00:00") == NOW
