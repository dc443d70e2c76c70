"""The mirror of a host, whose streaming program really runs here, over pipes."""

import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import make_run
from piped_host import PipedConnection, piped_host, place, run_on_host
from waiting import wait_until

from rlmaster.errors import HostError, RunFolderError
from rlmaster.fleet import mirror as mirror_module
from rlmaster.fleet.mirror import Change, HostMirror, write_ending
from rlmaster.fleet.run_files import MEBIBYTE
from rlmaster.notify import Delivery, deliver_once
from rlmaster.placement import Left
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_lock import RunLock, boot_id, lock_folder
from rlmaster.run_status import State, Status

PNG = b"\x89PNG\r\n\x1a\n"
CURVES = "tensorboard/events.out.tfevents.0000000001.office.7.0"

pytestmark = pytest.mark.usefixtures("own_locks")


class Mirroring(NamedTuple):
    """A run here and on its host, and the mirror between them."""

    here: RunFolder
    there: RunFolder
    mirror: HostMirror
    connection: PipedConnection

    def until(self, condition: Callable[[list[Change]], Any]) -> list[Change]:
        """Step until all that has changed so far fulfils a condition."""
        changes: list[Change] = []

        def is_fulfilled() -> Any:
            changes.extend(self.mirror.step(0.2))
            return condition(changes)

        wait_until(is_fulfilled)
        return changes

    def until_ended(self) -> Status:
        """Step until the host has told how the run ended."""
        changes = self.until(lambda all_changes: any(change.ended for change in all_changes))
        return next(change.ended for change in changes if change.ended)


@pytest.fixture
def mirroring(tmp_path: Path) -> Iterator[Mirroring]:
    """A mirror that tracks one run."""
    here, there = run_on_host(tmp_path)
    remote = piped_host()
    mirror = HostMirror(remote, here.path.parents[1])
    mirror.track(here)
    yield Mirroring(here, there, mirror, remote.connection)  # type: ignore[arg-type]
    mirror.close()


def write(run: RunFolder, path: str, content: bytes) -> None:
    """Append to a file of a run."""
    (run.path / path).parent.mkdir(parents=True, exist_ok=True)
    with (run.path / path).open("ab") as file:
        file.write(content)


def replace(run: RunFolder, path: str, content: bytes) -> None:
    """Put a new file in the place of one, as a crash of a computer or a new program may."""
    (run.path / path).parent.mkdir(parents=True, exist_ok=True)
    new = run.path / "new.tmp"
    new.write_bytes(content)
    new.replace(run.path / path)


def contents(run: RunFolder) -> dict[str, bytes]:
    """Return what a host gives of a run, but for its status."""
    found = {p.relative_to(run.path).as_posix(): p for p in run.path.rglob("*") if p.is_file()}
    ours = ("run.json", "config.json", "provenance.json", "placement.json", "rationale.md")
    return {n: p.read_bytes() for n, p in found.items() if n not in (*ours, "status.json")}


def changed(path: str) -> Callable[[list[Change]], bool]:
    """Return a condition: a file has changed here."""
    return lambda changes: any(path in change.paths for change in changes)


# ------------------------------------------------------------------------------ what is mirrored


def test_each_file_of_a_run_arrives_as_it_is_there_and_the_end_comes_last(mirroring):
    write(mirroring.there, "log.txt", b"a line\n" * 100_000)
    write(mirroring.there, "events/worker.jsonl", b'{"kind": "started"}\n')
    write(mirroring.there, CURVES, random.Random(1).randbytes(MEBIBYTE))
    write(mirroring.there, "tensorboard/images/events.out.tfevents.1.x.7.0", b"pictures")
    write(mirroring.there, "previews/step-000000001.png", PNG + b"\0" * 200_000)
    write(mirroring.there, "attempts.jsonl", b'{"attempt": 1}\n')
    write(mirroring.there, "environment.json", b'{"python": "3.11"}')
    mirroring.there.write_progress(Progress("training", 3))
    mirroring.there.write_status(Status(State.COMPLETED))
    ended = mirroring.until_ended()
    assert contents(mirroring.here) == contents(mirroring.there)
    assert mirroring.here.status().state is State.PREPARED  # that is for whoever has all the rest
    assert write_ending(mirroring.here, ended)
    assert mirroring.here.status() == mirroring.there.status()


def test_what_a_run_keeps_for_itself_or_is_pulled_is_not_mirrored(mirroring):
    for path in ("checkpoints/best.json", "replay/manifest.json", "tensors/a.safetensors"):
        write(mirroring.there, path, b"{}")
    for path in (
        "run.json",
        "rationale.md",
        "tags.json",
        "conclusion.md",
        ".hidden",
        "log.txt.tmp",
    ):
        write(mirroring.there, path, b"theirs")
    (mirroring.there.previews).mkdir()
    (mirroring.there.previews / "secret.png").symlink_to("/etc/passwd")
    (mirroring.there.path / "tensorboard").symlink_to("/etc")
    os.mkfifo(mirroring.there.log_file)
    mirroring.there.write_status(Status(State.COMPLETED))
    before = contents(mirroring.here), mirroring.here.rationale()
    mirroring.until_ended()
    assert (contents(mirroring.here), mirroring.here.rationale()) == before


def test_a_status_is_written_as_it_comes_until_it_is_the_last(mirroring):
    mirroring.there.write_status(Status(State.RUNNING, heartbeat="1"))
    mirroring.until(changed("status.json"))
    assert mirroring.here.status() == Status(State.RUNNING, heartbeat="1")
    mirroring.there.write_status(Status(State.RUNNING, heartbeat="2"))
    mirroring.until(changed("status.json"))
    assert mirroring.here.status().heartbeat == "2"


def test_a_status_waits_for_whoever_has_the_run_lock_here(mirroring):
    with RunLock(mirroring.here.id) as lock:
        assert lock.take()
        mirroring.there.write_status(Status(State.RUNNING))
        write(mirroring.there, "log.txt", b"a line\n")
        mirroring.until(changed("log.txt"))
        assert mirroring.here.status().state is State.PREPARED
    mirroring.until(changed("status.json"))
    assert mirroring.here.status().state is State.RUNNING


def test_a_file_that_was_replaced_or_cut_is_begun_anew(mirroring):
    write(mirroring.there, "log.txt", b"an old line\n" * 1000)
    mirroring.until(changed("log.txt"))
    replace(mirroring.there, "log.txt", b"a new line, and more of it than of the old one\n" * 1000)
    mirroring.until(lambda _: contents(mirroring.here) == contents(mirroring.there))
    mirroring.there.log_file.write_bytes(b"")
    mirroring.until(lambda _: contents(mirroring.here) == contents(mirroring.there))


def test_a_file_that_was_written_over_is_begun_anew_although_it_is_longer(mirroring):
    write(mirroring.there, "log.txt", b"an old line\n" * 1000)
    mirroring.until(changed("log.txt"))
    with mirroring.there.log_file.open("r+b") as log:
        log.write(b"a newer line\n" * 2000)
    mirroring.until(lambda _: contents(mirroring.here) == contents(mirroring.there))


def test_a_file_that_is_another_here_is_begun_anew(mirroring):
    mirroring.there.log_file.write_bytes(b"theirs" * 1000)
    mirroring.here.log_file.write_bytes(b"others" * 900)
    mirroring.mirror.track(mirroring.here)
    mirroring.until(changed("log.txt"))
    assert contents(mirroring.here) == contents(mirroring.there)


def test_a_file_that_was_changed_here_is_begun_anew_from_what_is_here(mirroring, monkeypatch):
    monkeypatch.setattr(mirror_module, "ANEW_S", 0.0)
    write(mirroring.there, "log.txt", b"one\n")
    mirroring.until(changed("log.txt"))
    mirroring.here.log_file.write_bytes(b"")
    write(mirroring.there, "log.txt", b"two\n")
    mirroring.until(lambda _: mirroring.here.log_file.read_bytes() == b"one\ntwo\n")


def test_what_the_worker_pushed_counts_as_delivered_here(mirroring):
    claims = mirroring.there.path.parents[1] / ".state" / "announced" / mirroring.there.id
    claims.mkdir(parents=True)
    (claims / "failed-attempt-1 push-ntfy").write_bytes(b"delivered\n")
    (claims / "started-0-20260101T000000.000000 push-ntfy").write_bytes(bytes(10))  # not yet
    (claims / "failed-attempt-1 desktop").write_bytes(b"delivered\n")  # that of the other computer
    mirroring.there.write_status(Status(State.FAILED))
    mirroring.until_ended()
    here = mirroring.here.path.parents[1] / ".state" / "announced" / mirroring.here.id
    assert [path.name for path in here.iterdir()] == ["failed-attempt-1 push-ntfy"]
    assert deliver_once(here / "failed-attempt-1 push-ntfy", lambda: Delivery(True)) is None


def test_whether_the_run_lock_is_held_there_is_told_when_it_changes(mirroring):
    lock = RunLock(mirroring.there.id, lock_folder() / "elsewhere.lock")
    mirroring.until(lambda changes: any(change.is_locked is False for change in changes))
    assert lock.take()
    mirroring.there.write_status(Status(State.RUNNING, lock=str(lock.path), boot_id=boot_id()))
    mirroring.until(lambda changes: any(change.is_locked for change in changes))
    lock.close()
    changes = mirroring.until(lambda all_changes: any(c.is_locked is False for c in all_changes))
    assert sum(change.is_locked is not None for change in changes) == 1


def test_a_log_without_end_is_mirrored_up_to_a_bound_and_says_so(mirroring):
    line = b"x" * (MEBIBYTE - 1) + b"\n"
    with mirroring.there.log_file.open("wb") as log:
        for _ in range(66):
            log.write(line)
    mirroring.until(lambda _: mirroring.here.log_file.exists() and _ends_with_hint(mirroring.here))
    assert mirroring.here.log_file.stat().st_size < 64 * MEBIBYTE + 200
    write(mirroring.there, "log.txt", line)
    write(mirroring.there, "events/worker.jsonl", b"{}\n")
    mirroring.mirror.track(mirroring.here)
    mirroring.until(changed("events/worker.jsonl"))
    assert _ends_with_hint(mirroring.here)


def _ends_with_hint(run: RunFolder) -> bool:
    with run.log_file.open("rb") as file:
        file.seek(max(0, run.log_file.stat().st_size - 100))
        return b"more of this log is on office: `rlmaster pull --all`\n" in file.read()


# --------------------------------------------------------------------- only what is new travels


def test_only_new_bytes_travel_also_to_a_mirror_that_begins_anew(tmp_path):
    here, there = run_on_host(tmp_path)
    noise = random.Random(2).randbytes
    write(there, "log.txt", noise(1_000_000))
    write(there, "previews/step-000000001.png", PNG + noise(100_000))
    write(there, "environment.json", json.dumps({"x": noise(50_000).hex()}).encode())
    there.write_status(Status(State.COMPLETED))
    received: list[int] = []
    for _ in range(2):
        remote = piped_host()
        with _tracking(here, remote) as mirror:
            Mirroring(here, there, mirror, remote.connection).until_ended()  # type: ignore[arg-type]
        received.append(remote.connection.received_bytes)  # type: ignore[attr-defined]
        write(there, "log.txt", noise(1_000))
    assert received[0] > 1_100_000
    assert received[1] < 3_000  # of which 1,000 are new


def test_a_run_that_does_not_change_costs_next_to_nothing(mirroring):
    write(mirroring.there, "log.txt", b"a line\n")
    mirroring.until(changed("log.txt"))
    before = mirroring.connection.received_bytes
    mirroring.until(lambda _: mirroring.connection.received_bytes > before)
    said = mirroring.connection.received_bytes - before
    assert said < 150  # that it lives


def test_a_huge_log_does_not_delay_an_event(mirroring):
    mirroring.there.log_file.write_bytes(random.Random(3).randbytes(32 * MEBIBYTE))
    mirroring.until(changed("log.txt"))
    write(mirroring.there, "events/training.jsonl", b'{"kind": "diverged"}\n')
    mirroring.until(changed("events/training.jsonl"))
    assert mirroring.here.log_file.stat().st_size < 32 * MEBIBYTE


class Action(NamedTuple):
    """Something that happens to a run or its mirror."""

    kind: str
    path: str
    size: int


ACTIONS = st.builds(
    Action,
    st.sampled_from(
        ["append", "append", "append", "replace", "step", "again", "kill", "cut here", "progress"]
    ),
    st.sampled_from(["log.txt", "events/worker.jsonl", CURVES]),
    st.integers(0, 300_000),
)


@settings(max_examples=8)
@given(st.lists(ACTIONS, min_size=3, max_size=8), st.integers(0, 2**32))
def test_whatever_happens_in_between_the_end_is_the_same_here_and_there(
    tmp_path_factory, actions, seed
):
    here, there = run_on_host(tmp_path_factory.mktemp("mirror"))
    remote, chance = piped_host(), random.Random(seed)
    with ExitStack() as mirrors:
        mirror = mirrors.enter_context(_tracking(here, remote))
        for action in actions:
            if action.kind == "append":
                write(there, action.path, chance.randbytes(action.size))
            elif action.kind == "replace":
                replace(there, action.path, chance.randbytes(action.size))
            elif action.kind == "progress":
                there.write_progress(Progress("training", action.size))
            elif action.kind == "step":
                mirror.step(0.1)
            else:
                if action.kind == "kill":
                    remote.connection.started[-1].kill()  # type: ignore[attr-defined]
                mirrors.close()
                if action.kind == "cut here" and (here.path / action.path).exists():
                    os.truncate(here.path / action.path, action.size % 5_000)
                mirror = mirrors.enter_context(_tracking(here, remote))
        there.write_status(Status(State.COMPLETED))
        Mirroring(here, there, mirror, remote.connection).until_ended()  # type: ignore[arg-type]
    assert contents(here) == contents(there)


@contextmanager
def _tracking(run: RunFolder, remote: Any) -> Iterator[HostMirror]:
    with closing(HostMirror(remote, run.path.parents[1])) as mirror:
        mirror.track(run)
        yield mirror


# ------------------------------------------------------------------------ which host, which attempt


def test_a_run_of_another_host_is_not_tracked(mirroring):
    place(mirroring.here, mirroring.there.path, host="gpu1")
    with pytest.raises(RunFolderError, match="is not made on office"):
        mirroring.mirror.track(mirroring.here)


def test_a_run_that_is_moved_meanwhile_takes_nothing_more(mirroring):
    place(mirroring.here, mirroring.there.path, host="gpu1")
    write(mirroring.there, "log.txt", b"still here\n")
    changes = mirroring.until(lambda all_changes: any(change.trouble for change in all_changes))
    assert "is not made on office" in changes[-1].trouble
    assert not mirroring.here.log_file.exists()


def test_a_run_that_is_moved_while_it_was_set_aside_is_left(mirroring, monkeypatch):
    monkeypatch.setattr(mirror_module, "RETRY_S", 0.0)
    mirroring.here.log_file.mkdir()
    write(mirroring.there, "log.txt", b"a line\n")
    mirroring.until(lambda changes: any("tried again" in change.trouble for change in changes))
    place(mirroring.here, mirroring.there.path, host="gpu1")
    mirroring.until(lambda changes: any("is not made" in change.trouble for change in changes))


def test_a_place_that_was_given_up_does_not_count_any_more(mirroring):
    mirroring.here.write_status(Status(State.LOST, reason="given up"))
    left = (Left("office", str(mirroring.there.path), 1),)
    place(mirroring.here, mirroring.there.path, left=left)
    mirroring.there.write_status(Status(State.COMPLETED))
    write(mirroring.there, "log.txt", b"a line\n")
    changes = mirroring.until(changed("log.txt"))
    assert not any(change.ended for change in changes)
    assert not write_ending(mirroring.here, Status(State.COMPLETED))
    assert mirroring.here.status().reason == "given up"


def test_an_earlier_attempt_does_not_count_any_more(mirroring):
    mirroring.here.write_status(Status(State.QUEUED, attempt=2))
    mirroring.there.write_status(Status(State.LOST, attempt=1))
    write(mirroring.there, "log.txt", b"a line\n")
    changes = mirroring.until(changed("log.txt"))
    assert not any(change.ended for change in changes)
    mirroring.there.write_status(Status(State.RUNNING, attempt=2))
    mirroring.until(changed("status.json"))
    assert mirroring.here.status() == Status(State.RUNNING, attempt=2)


# ------------------------------------------------------------------------------- when it goes wrong


def test_one_run_that_cannot_be_written_leaves_the_others_alone(mirroring, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror_module, "RETRY_S", 0.0)
    other = make_run(tmp_path / "here" / "runs")
    other_there = RunFolder(mirroring.there.path.parent / other.id)
    other_there.path.mkdir()
    place(other, other_there.path)
    mirroring.mirror.track(other)
    (mirroring.here.path / "log.txt").mkdir()
    write(mirroring.there, "log.txt", b"a line\n")
    changes = mirroring.until(lambda all_changes: any(change.trouble for change in all_changes))
    assert "cannot be written (Is a directory); it is tried again" in changes[-1].trouble
    write(other_there, "log.txt", b"a line\n")
    mirroring.until(changed("log.txt"))
    (mirroring.here.path / "log.txt").rmdir()
    mirroring.until(changed("log.txt"))
    assert contents(mirroring.here) == contents(other) == {"log.txt": b"a line\n"}


def test_nothing_is_written_through_a_link(mirroring, tmp_path):
    (tmp_path / "outside").mkdir()
    (mirroring.here.path / "tensorboard").symlink_to(tmp_path / "outside")
    write(mirroring.there, CURVES, b"curves")
    mirroring.until(lambda changes: any(change.trouble for change in changes))
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_run_folder_that_is_gone_there_is_told_once(mirroring):
    mirroring.there.path.rmdir()
    mirroring.mirror.track(mirroring.here)
    changes = mirroring.until(lambda all_changes: any(change.trouble for change in all_changes))
    assert "is gone from office" in changes[-1].trouble
    before = mirroring.connection.received_bytes
    more = mirroring.until(lambda _: mirroring.connection.received_bytes > before + 150)
    assert not any(change.trouble for change in more)


def test_a_run_that_is_tracked_no_more_takes_nothing_more(mirroring):
    mirroring.mirror.untrack(mirroring.here.id)
    mirroring.mirror.untrack("nobody")
    write(mirroring.there, "log.txt", b"a line\n")
    mirroring.mirror.step(1.5)
    assert not mirroring.here.log_file.exists()


def test_a_program_that_is_killed_there_is_an_error(mirroring):
    mirroring.connection.started[-1].kill()
    with pytest.raises(HostError, match="what streams on office has ended"):
        mirroring.until(lambda _: False)


def test_the_program_there_ends_where_nobody_speaks_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(mirror_module, "FORGOTTEN_S", 0.5)
    here, there = run_on_host(tmp_path)
    there.log_file.write_bytes(random.Random(4).randbytes(8 * MEBIBYTE))  # more than is taken
    remote = piped_host()
    with _tracking(here, remote):
        wait_until(lambda: remote.connection.started[-1].has_ended)  # type: ignore[attr-defined]


def test_a_host_that_falls_silent_is_an_error(mirroring, monkeypatch):
    monkeypatch.setattr(mirror_module, "SILENCE_S", 0.5)
    process = mirroring.connection.started[-1]
    process.pause()
    try:
        with pytest.raises(HostError, match="office has said nothing for"):
            mirroring.until(lambda _: False)
    finally:
        process.resume()
