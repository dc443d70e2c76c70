"""A request to stop: obeyed between two pieces of work, or at once where nothing would be lost."""

import pytest

from rlmaster.training.stopping import Stop, StopRequested


def test_work_goes_on_until_it_looks() -> None:
    stop = Stop()
    stop.check()
    stop.request()
    assert stop.requested
    with pytest.raises(StopRequested):
        stop.check()


def test_what_leaves_nothing_to_keep_is_cut_short_and_nothing_after_it() -> None:
    stop = Stop()
    with pytest.raises(StopRequested), stop.at_once():
        stop.request()
    stop.request()


def test_it_does_not_begin_once_somebody_asked() -> None:
    stop = Stop()
    stop.request()
    with pytest.raises(StopRequested), stop.at_once():
        raise AssertionError
    with stop.at_once(when=False):
        stop.request()


def test_no_library_that_catches_exceptions_swallows_it() -> None:
    assert not issubclass(StopRequested, Exception)
