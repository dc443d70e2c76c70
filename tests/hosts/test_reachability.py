import pytest

from rlmaster.hosts import reachability
from rlmaster.hosts.reachability import (
    Reachability,
    forget_host,
    note_reachable,
    note_unreachable,
    unreachable_since,
)


@pytest.fixture
def clock(monkeypatch):
    """Let each look at the clock show the next hour."""
    hours = iter(f"2026-01-01T{hour:02}:00:00.000+00:00" for hour in range(24))
    monkeypatch.setattr(reachability, "utc_now", lambda: next(hours))


def test_a_host_that_nobody_tried_is_not_unreachable(tmp_path):
    assert unreachable_since(tmp_path, "office") is None


def test_it_is_unreachable_since_it_was_found_so_first(tmp_path, clock):
    note_unreachable(tmp_path, "office", "no answer within 10 s")
    note_unreachable(tmp_path, "office", "no route to host")

    found = unreachable_since(tmp_path, "office")

    assert found == Reachability(False, "2026-01-01T00:00:00.000+00:00", "no route to host")
    assert unreachable_since(tmp_path, "gpu1") is None


def test_an_answer_ends_it_and_the_next_silence_begins_anew(tmp_path, clock):
    note_unreachable(tmp_path, "office", "no answer")
    note_reachable(tmp_path, "office")
    assert unreachable_since(tmp_path, "office") is None

    note_unreachable(tmp_path, "office", "no answer")

    again = unreachable_since(tmp_path, "office")
    assert again is not None
    assert again.since == "2026-01-01T02:00:00.000+00:00"


def test_what_is_known_is_not_written_again(tmp_path):
    note_reachable(tmp_path, "office")
    (file,) = tmp_path.rglob("office.json")
    before = file.stat().st_ino

    note_reachable(tmp_path, "office")

    assert file.stat().st_ino == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"reachable": 0, "since": 1, "reason": []}'])
def test_a_damaged_file_says_nothing(tmp_path, content):
    note_unreachable(tmp_path, "office", "no answer")
    (file,) = tmp_path.rglob("office.json")
    file.write_text(content)

    assert unreachable_since(tmp_path, "office") is None


def test_where_nothing_can_be_written_nothing_is_known(tmp_path):
    (tmp_path / ".state").write_text("not a folder")

    note_unreachable(tmp_path, "office", "no answer")

    assert unreachable_since(tmp_path, "office") is None


def test_a_host_can_be_forgotten(tmp_path):
    note_unreachable(tmp_path, "office", "no answer")
    forget_host(tmp_path, "office")

    assert unreachable_since(tmp_path, "office") is None
