import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmaster.events import SEVERITIES, Event, Severity, append_event, event, read_events

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(["kind", "message", "step", "severity", "time", "values", "new"])


@given(
    st.builds(
        Event,
        kind=st.text(min_size=1),
        message=st.text(),
        step=st.integers(0, 10**12),
        severity=st.sampled_from(Severity),
        time=st.text(max_size=30),
        values=st.dictionaries(st.text(), st.floats(allow_nan=False)),
    )
)
def test_an_event_comes_back_as_it_was(happened):
    with tempfile.TemporaryDirectory() as folder:
        stream = Path(folder) / "events.jsonl"
        append_event(stream, happened)
        assert read_events(stream)[0] == [happened]


@given(st.lists(st.dictionaries(fields, json_values), max_size=4))
def test_a_line_that_another_version_or_a_fault_wrote_spoils_nothing(lines):
    with tempfile.TemporaryDirectory() as folder:
        stream = Path(folder) / "events.jsonl"
        stream.write_text("".join(json.dumps(line) + "\n" for line in lines))
        append_event(stream, event("finished", "done"))

        found, offset = read_events(stream)

        assert found[-1].kind == "finished"
        assert offset == stream.stat().st_size


def test_reading_goes_on_where_it_ended(tmp_path):
    stream = tmp_path / "events.jsonl"
    append_event(stream, event("started", "one"))
    first, offset = read_events(stream)
    append_event(stream, event("new_best", "two", 5, error=0.1))

    second, _ = read_events(stream, offset)

    assert [happened.message for happened in first] == ["one"]
    assert [(happened.message, happened.values) for happened in second] == [("two", {"error": 0.1})]


def test_an_event_has_one_identity_within_its_run():
    moment = "2026-01-01T10:00:00.125+00:00"
    seen = Event("new_best", "a", 5, time=moment)

    assert (
        seen.id == Event("new_best", "b", 5, time=moment).id == "new_best-5-20260101T100000.125000"
    )
    assert seen.id != Event("new_best", "a", 6, time=moment).id
    assert seen.id != Event("new_best", "a", 5, time="2026-01-01T11:00:00+00:00").id


@pytest.mark.parametrize("time", ["", "yesterday", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_is_none_is_the_beginning_of_time(time):
    assert Event("note", "", time=time).moment.year == 1


@pytest.mark.parametrize("kind", SEVERITIES)
def test_a_known_kind_has_its_severity(kind):
    assert event(kind, "").severity is SEVERITIES[kind]


def test_a_users_own_kind_is_no_alarm():
    assert event("eureka", "it works").severity is Severity.INFO
