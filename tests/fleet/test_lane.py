import threading

from waiting import wait_until

from rlmaster.errors import HostError
from rlmaster.fleet.lane import Lane


def test_things_are_done_in_their_order_and_none_twice_at_once():
    done: list[str] = []
    may_go_on = threading.Event()
    lane = Lane(done.append)

    lane.do("first", lambda: (may_go_on.wait(20), done.append("first")))
    lane.do("first", lambda: done.append("again"))
    lane.do("second", lambda: done.append("second"))
    assert lane.is_at("first")
    assert lane.is_at("second")
    may_go_on.set()

    wait_until(lambda: not lane.is_at("second"))
    assert done == ["first", "second"]
    lane.do("first", lambda: done.append("anew"))
    wait_until(lambda: not lane.is_at("first"))
    assert done == ["first", "second", "anew"]


def test_what_fails_is_told_and_holds_up_nothing():
    failures: list[str] = []
    lane = Lane(failures.append)

    def fail(error: Exception) -> None:
        raise error

    lane.do("host", lambda: fail(HostError("office does not answer")))
    lane.do("bug", lambda: fail(KeyError("office")))
    wait_until(lambda: not lane.is_at("bug"))
    assert failures == ["office does not answer", "KeyError: 'office'"]
