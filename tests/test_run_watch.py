from pathlib import Path

import pytest

from rlmaster.events import Event, Severity
from rlmaster.run_folder import Progress
from rlmaster.run_watch import GIBIBYTE, DiskWatch, StallWatch

HEARTBEAT_S = 5.0


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


# ---------------------------------------------------------------------------------------- stalls


class Run:
    """A run that a stall watch looks at, at each heartbeat."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.watch = clock, StallWatch(clock)
        self.step = 0

    def moves(self, times: int, every_s: float = HEARTBEAT_S) -> list[Event]:
        """Advance by a step so many times, and look at each heartbeat in between."""
        found: list[Event] = []
        for _ in range(times):
            found += self.stands(every_s - HEARTBEAT_S)
            self.step += 1
            found += self.stands(HEARTBEAT_S)
        return found

    def stands(self, seconds: float, phase: str = "training") -> list[Event]:
        """Let time pass, and look at each heartbeat."""
        found: list[Event] = []
        for _ in range(round(seconds / HEARTBEAT_S)):
            self.clock.now_s += HEARTBEAT_S
            seen = self.watch.observe(Progress(phase=phase, step=self.step))
            found += [seen] if seen else []
        return found


@pytest.fixture
def run(clock) -> Run:
    return Run(clock)


def test_a_run_that_moves_does_not_stall(run):
    assert run.moves(100) == []


def test_a_run_that_stands_for_a_minute_stalls_once(run):
    run.moves(30)

    assert run.stands(55) == []
    (stalled,) = run.stands(5)
    assert run.stands(3600) == []
    assert (stalled.kind, stalled.severity) == ("stalled", Severity.WARNING)
    assert stalled.step == 30
    assert stalled.values == {"still_s": 60.0}
    assert stalled.message.startswith("nothing has moved for 60 s, since step 30 of training; ")
    assert "log.txt" in stalled.message


def test_a_run_that_usually_takes_long_is_given_ten_times_as_long(run):
    assert run.moves(30, every_s=20.0) == []

    assert run.stands(195) == []
    assert [event.kind for event in run.stands(5)] == ["stalled"]


def test_one_long_interval_is_not_yet_usual(run):
    run.moves(30)
    run.moves(1, every_s=50.0)

    assert [event.kind for event in run.stands(60)] == ["stalled"]


def test_a_run_that_moved_again_can_stall_again(run):
    run.moves(30)
    assert len(run.stands(100)) == 1
    run.moves(1)
    assert len(run.stands(100)) == 1


def test_another_phase_at_the_same_step_is_a_move(run):
    run.moves(30)
    run.stands(50)

    assert run.stands(50, phase="evaluating") == []


@pytest.mark.parametrize("phase", ["preparing", "compiling"])
def test_what_takes_long_anyway_never_stalls_and_counts_for_nothing(run, phase):
    run.moves(30)

    assert run.stands(3600, phase=phase) == []
    assert run.stands(60, phase="training") == []
    assert len(run.stands(5, phase="training")) == 1


def test_a_run_that_never_said_a_word_stalls_too(run):
    (stalled,) = run.stands(3600, phase="")

    assert "since step 0 of the start" in stalled.message


# ------------------------------------------------------------------------------------------ disk


class Disk:
    """A disk that a watch looks at, at each heartbeat."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.free = clock, 100 * GIBIBYTE
        self.watch = DiskWatch(Path("/somewhere"), clock, lambda _folder: self.free)

    def changes(self, bytes_per_s: float, seconds: float) -> list[Event]:
        """Let the free space change at a rate, and look at each heartbeat."""
        found: list[Event] = []
        for _ in range(round(seconds / HEARTBEAT_S)):
            self.clock.now_s += HEARTBEAT_S
            self.free += round(bytes_per_s * HEARTBEAT_S)
            seen = self.watch.observe(7)
            found += [seen] if seen else []
        return found


@pytest.fixture
def disk(clock) -> Disk:
    return Disk(clock)


def test_a_disk_with_room_is_no_event(disk):
    assert disk.changes(0, 3600) == []
    assert disk.changes(-GIBIBYTE / 3600, 20 * 3600) == []


def test_less_than_a_gibibyte_is_told_once(disk):
    disk.free = GIBIBYTE - 2**26

    (filling,) = disk.changes(0, 3600)

    assert (filling.kind, filling.severity, filling.step) == ("disk_filling", Severity.WARNING, 7)
    assert filling.message == (
        "0.9 GiB are free on the disk of /somewhere; `rlmaster du` shows what takes the room, "
        "`rlmaster gc` frees what nobody needs"
    )


def test_a_disk_that_will_be_full_within_the_hour_is_told_once(disk):
    disk.changes(0, 1200)
    per_s = -100 * GIBIBYTE / 7200  # two hours from here

    found = disk.changes(per_s, 7100)

    (filling,) = found
    assert filling.values["free_bytes"] / -per_s == pytest.approx(3600, abs=2 * HEARTBEAT_S)
    assert "at this rate it is full in 60 min" in filling.message


def test_one_burst_of_writing_is_no_trend(disk):
    assert disk.changes(0, 1200) == []
    assert disk.changes(-GIBIBYTE / 10, 110) == []
    assert disk.changes(0, 3600) == []


def test_a_burst_at_the_very_start_is_no_trend(disk):
    assert disk.changes(-GIBIBYTE / 10, 110) == []
    assert disk.changes(0, 3600) == []


def test_a_disk_that_recovered_can_fill_again(disk):
    disk.free = GIBIBYTE // 2
    assert len(disk.changes(0, 10)) == 1
    disk.free = GIBIBYTE * 3 // 2  # hardly enough, so that nothing is told again and again
    assert disk.changes(0, 10) == []
    disk.free = GIBIBYTE // 2
    assert disk.changes(0, 10) == []
    disk.free = 50 * GIBIBYTE
    assert disk.changes(0, 10) == []
    disk.free = GIBIBYTE // 2
    assert len(disk.changes(0, 10)) == 1


def test_a_real_disk_is_measured(tmp_path, clock):
    assert DiskWatch(tmp_path / "gone", clock, lambda _folder: 10 * GIBIBYTE).observe() is None
    DiskWatch(tmp_path, clock).observe()
    with pytest.raises(FileNotFoundError):
        DiskWatch(tmp_path / "gone", clock).observe()
