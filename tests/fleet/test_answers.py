"""What hosts answer about runs, and what they might."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmaster.errors import HostError
from rlmaster.fleet.answers import status_in, text_in
from rlmaster.run_status import State, Status

RUN = "20260101-000000-abcdef"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def answer(status: object, **more: object) -> dict[str, object]:
    return {"runs": [{"run_id": "other"}, {"run_id": RUN, "status": status, **more}]}


def test_how_a_run_stands_is_read_as_it_was_written():
    status = Status(State.FAILED, 3, exit_code=1, reason="it failed", answered=("a", "b"))
    data = json.loads(json.dumps(status.to_data()))

    assert status_in(answer(data), RUN, "office") == status


@pytest.mark.parametrize(
    "change",
    [
        {"state": "flying"},
        {"attempt": True},
        {"reason": "x" * 5000},
        {"lock": None},
    ],
)
def test_a_field_that_no_run_has_like_that_is_refused(change):
    with pytest.raises(HostError, match=f"office: it does not say how run {RUN} stands"):
        status_in(answer({**Status(State.RUNNING).to_data(), **change}), RUN, "office")


def test_a_reason_why_it_does_not_stand_at_all_is_told():
    with pytest.raises(HostError, match="office: there is no run in /x"):
        status_in(answer(None, error="there is no run in /x"), RUN, "office")


@given(JSON, JSON)
def test_whatever_is_answered_is_sound_or_refused(rows, data):
    for said in ({"runs": rows}, answer(data)):
        with pytest.raises(HostError):
            status_in(said, RUN, "office")


@given(JSON)
def test_a_text_of_an_answer_can_be_shown(value):
    assert text_in({"attach": value}, "attach").isprintable() or "\n" in str(value)
