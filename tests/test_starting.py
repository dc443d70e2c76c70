from rlmaster import starting
from rlmaster.hosts.queue import Queue
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import SlotLock


def test_a_first_launch_is_not_told_to_wait_before_anybody_has_counted_the_slots(
    own_locks, tmp_path
):
    run = RunFolder(tmp_path / "pong" / "20260101-000000-abcdef")
    assert starting._why_it_waits(run, 5.0) == ""
    queue = Queue.here()
    queue.drain()
    assert starting._why_it_waits(run, 0.0) == (
        "the queue is drained; it starts after `rlmaster queue open`"
    )
    queue.open()
    queue.write_slots(["cpu:0"])
    assert starting._why_it_waits(run, 5.0) == ""
    with SlotLock("cpu:0") as lock:
        assert lock.take()
        assert starting._why_it_waits(run, 0.0) == ""
        assert starting._why_it_waits(run, 5.0) == "it waits for a slot, and starts by itself"


def test_a_launch_is_told_at_once_that_somebody_else_has_the_gpus(own_locks, tmp_path):
    run = RunFolder(tmp_path / "pong" / "20260101-000000-abcdef")
    queue = Queue.here()
    queue.drain()
    queue.open()
    queue.write_slots(["GPU-1:0", "GPU-2:0"], in_foreign_use=["GPU-1:0"])
    assert starting._why_it_waits(run, 5.0) == ""
    queue.write_slots(["GPU-1:0", "GPU-2:0"], in_foreign_use=["GPU-1:0", "GPU-2:0"])
    assert starting._why_it_waits(run, 5.0) == (
        "it waits for a slot, since somebody else computes on the GPU, and starts by itself"
    )
