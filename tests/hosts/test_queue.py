import json
import stat
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmaster import placement
from rlmaster.errors import HostError
from rlmaster.hosts import queue as queue_module
from rlmaster.hosts.queue import Queue, Ticket
from rlmaster.hosts.slots import SlotRules

TICKET = Ticket("", "/runs/pong/x", 1, "python3", "/code", 2, {"PATH": "/bin"}, "2026-01-01")


@pytest.fixture
def queue(tmp_path) -> Queue:
    """An empty queue, whose folder is not there yet."""
    return Queue(tmp_path / "state" / "queue")


def put(queue: Queue, *run_ids: str, attempt: int = 1) -> None:
    for run_id in run_ids:
        queue.put(replace(TICKET, run_id=run_id, attempt=attempt))


def order(queue: Queue) -> list[str]:
    return [waiting.run_id for waiting in queue.waiting()]


def test_who_comes_first_is_served_first(queue):
    assert queue.waiting() == []
    put(queue, "c", "a", "b")
    assert order(queue) == ["c", "a", "b"]
    assert queue.position("b") == 2
    assert queue.position("d") is None


def test_a_ticket_brings_all_that_a_start_needs_and_nobody_else_reads_it(queue):
    put(queue, "a")
    (waiting,) = queue.waiting()
    assert waiting.ticket() == replace(TICKET, run_id="a")
    assert stat.S_IMODE(queue.folder.stat().st_mode) == 0o700


def test_a_run_waits_once(queue):
    put(queue, "a", "b", "a")
    assert order(queue) == ["a", "b"]


def test_a_run_goes_to_the_front_and_away(queue):
    put(queue, "a", "b", "c")
    assert queue.move_to_front("c")
    assert queue.move_to_front("b")
    assert order(queue) == ["b", "c", "a"]
    assert not queue.move_to_front("nobody")
    queue.remove("c")
    queue.remove("nobody")
    assert order(queue) == ["b", "a"]


def test_a_clock_that_is_set_back_lets_nobody_jump_the_queue(queue, monkeypatch):
    put(queue, "a", "b")
    now = time.time_ns()
    monkeypatch.setattr(queue_module.time, "time_ns", lambda: now - 3_600_000_000_000)
    put(queue, "c", "d")
    assert order(queue) == ["a", "b", "c", "d"]


@given(st.lists(st.tuples(st.sampled_from(["put", "front", "remove"]), st.sampled_from("abcde"))))
def test_the_order_is_that_of_a_list(tmp_path_factory, steps):
    queue, expected = Queue(tmp_path_factory.mktemp("queue")), list[str]()
    for step, run_id in steps:
        if step == "put":
            put(queue, run_id)
            expected += [run_id] * (run_id not in expected)
        elif step == "front":
            assert queue.move_to_front(run_id) == (run_id in expected)
            expected.sort(key=lambda other: other != run_id)
        else:
            queue.remove(run_id)
            expected = [other for other in expected if other != run_id]
        assert order(queue) == expected


def test_whatever_else_lies_there_is_no_ticket(queue):
    put(queue, "a")
    for name in ("x.ticket", "1.ticket", "1.a.ticket", "1..1.ticket", ".1.a.1.ticket.12.tmp", "y"):
        (queue.folder / name).touch()
    assert order(queue) == ["a"]


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_ticket_is_seen_but_not_believed(queue, content):
    put(queue, "a")
    (waiting,) = queue.waiting()
    waiting.path.write_text(content)
    assert order(queue) == ["a"]
    assert waiting.ticket() is None
    assert waiting.is_damaged


def test_a_ticket_of_another_version_is_read_as_far_as_it_can_be(queue):
    put(queue, "a")
    (waiting,) = queue.waiting()
    known = json.loads(waiting.path.read_text())
    waiting.path.write_text(json.dumps({**known, "of_a_later_version": 1}))
    assert waiting.ticket() == replace(TICKET, run_id="a")
    waiting.path.write_text(json.dumps({"run_id": "a"}))
    assert waiting.ticket() is None
    assert not waiting.is_damaged


def test_the_slots_that_there_are_can_be_looked_up(queue):
    assert queue.slots() == []
    put(queue, "a")
    queue.write_slots(["cpu:0", "cpu:1"])
    assert queue.slots() == ["cpu:0", "cpu:1"]


def test_without_a_home_the_sentence_says_what_to_set(monkeypatch):
    def nobody() -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setattr(queue_module.Path, "home", nobody)
    with pytest.raises(HostError, match=r"no home folder .* set XDG_STATE_HOME"):
        Queue.here()


def test_a_drained_queue_says_so_until_it_is_opened(queue):
    assert not queue.is_drained
    queue.drain()
    assert queue.is_drained
    queue.open()
    queue.open()
    assert not queue.is_drained


def test_how_many_slots_there_are_is_what_was_said_last(queue):
    assert queue.rules() == SlotRules()
    queue.write_rules(SlotRules(cpu_slots=3, slots_per_gpu=2))
    assert queue.rules() == SlotRules(cpu_slots=3, slots_per_gpu=2)
    (queue.folder / "slots.json").write_text('{"of_a_later_version": 1}')
    assert queue.rules() == SlotRules()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    queue = Queue(tmp_path / "file" / "queue")
    with pytest.raises(HostError, match=r"queue in .* cannot be changed \(Not a directory\)"):
        put(queue, "a")
    with pytest.raises(HostError, match="cannot be changed"):
        queue.drain()


def test_computers_that_share_a_home_have_queues_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(placement, "MACHINE_ID", tmp_path / "none")
    folders = set()
    for name in ("office", "lab/1", ""):
        monkeypatch.setattr(placement.platform, "node", lambda name=name: name)
        folders.add(Queue.here().folder)
    assert folders == {
        tmp_path / "rlmaster/queue" / name for name in ("office", "lab_1", "computer")
    }
    (tmp_path / "none").write_text("0123456789abcdef\n")
    assert Queue.here().folder.name == "computer-0123456789ab"
