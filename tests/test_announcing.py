import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fleet.places import put_here
from waiting import wait_until

from rlmaster import announcing
from rlmaster.announcing import Announcer, announce_ending, ending_notice, notice_of
from rlmaster.durable_files import utc_now, write_json
from rlmaster.events import Event, append_event, event
from rlmaster.notify import Delivery
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_status import State, Status
from rlmaster.user_config import NOTICE_KINDS, PATH_VARIABLE


@pytest.fixture
def runs(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(runs) -> RunFolder:
    """A run that goes on."""
    made = RunFolder.create(
        runs,
        config={"name": "pong"},
        rationale="Because.\nAnd more.",
        provenance={},
        digests={},
        differs_from_default=[],
    )
    made.write_status(Status(State.RUNNING, since=utc_now()))
    return made


@pytest.fixture
def config_file(tmp_path, monkeypatch) -> Path:
    """The file of the person who is told; nobody has a desktop."""
    path = tmp_path / "config.toml"
    monkeypatch.setenv(PATH_VARIABLE, str(path))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    return path


@pytest.fixture
def pushed(config_file, receiver):
    """A push service that the person has written down."""
    write_config(config_file, receiver.json)
    return receiver


def write_config(path: Path, *urls: str, **more: object) -> None:
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in {"push": urls, **more}.items()]
    path.write_text("[notify]\n" + "".join(lines))
    path.chmod(0o600)


def end(run: RunFolder, state: State, **changes: object) -> None:
    run.write_status(Status(state, since=utc_now(), **changes))


@contextmanager
def silent_service() -> Iterator[int]:
    """Yield a port that takes calls and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield silent.getsockname()[1]


def stand(run: RunFolder, sentence: str) -> None:
    run.report.mkdir()
    run.standing_file.write_text(json.dumps({"sentence": sentence}))


# ----------------------------------------------------------------------------- what is worth one


@pytest.mark.parametrize(
    "kind", ["diverged", "plateau", "stalled", "disk_filling", "above_random", "above_human"]
)
def test_what_may_spoil_a_run_is_worth_a_notice(run, kind):
    notice = notice_of(run, event(kind, "so it is", 7))

    assert notice is not None
    assert notice.kinds == {kind}
    assert notice.severity is event(kind, "").severity
    assert notice.title == f"pong {run.short_id}: {kind.replace('_', ' ')}"
    assert notice.body.splitlines() == [
        "so it is",
        "Why: Because.",
        f"Look: rlmaster show {run.short_id}",
    ]


@pytest.mark.parametrize("kind", ["note", "eureka", "resumed", "finished", "failed", "stopped"])
def test_the_rest_is_not_and_endings_are_told_by_the_status(run, kind):
    assert notice_of(run, event(kind, "so it is")) is None


@pytest.mark.parametrize(
    ("waited_s", "title"),
    [
        (6, "started after 6 s in the queue"),
        (720, "started after 12 min in the queue"),
        (9000, "started after 2.5 h in the queue"),
    ],
)
def test_a_start_is_worth_a_notice_where_it_was_waited_for(run, waited_s, title):
    notice = notice_of(run, event("started", "go", waited_s=waited_s))

    assert notice is not None
    assert notice.title.partition(": ")[2] == title
    assert notice_of(run, event("started", "go", waited_s=5)) is None
    assert notice_of(run, event("started", "go")) is None


def test_a_new_best_is_worth_one_at_most_once_in_ten_minutes(run):
    notices = [
        notice_of(
            run, Event("new_best", "", time=(run.created + timedelta(minutes=minute)).isoformat())
        )
        for minute in (1, 9, 11, 12, 19, 21)
    ]

    names = [notice.name.removeprefix("new_best-period-") for notice in notices if notice]
    assert names == ["1", "1", "1", "2"]


@pytest.mark.parametrize(
    ("kind", "hours", "is_news"),
    [
        ("diverged", 23, True),
        ("diverged", 25, False),
        ("new_best", 0.1, True),
        ("new_best", 0.2, False),
    ],
)
def test_what_happened_long_ago_is_no_news(run, kind, hours, is_news):
    old = RunFolder(run.path.rename(run.path.with_name("20200101-000000-abcdef")))
    moment = datetime.now(UTC) - timedelta(hours=hours)

    assert bool(notice_of(old, Event(kind, "", time=moment.isoformat()))) is is_news


def test_the_same_at_the_same_step_after_a_resume_is_another_notice(run):
    now = datetime.now(UTC)
    moments = [now - timedelta(hours=1), now]
    first, second = (
        notice_of(run, Event("diverged", "", 100, time=moment.isoformat())) for moment in moments
    )

    assert first is not None
    assert second is not None
    assert first.name != second.name


def test_every_kind_that_can_be_chosen_can_happen():
    kinds = announcing.ANNOUNCED.union(announcing.ENDINGS.values(), announcing.STANDINGS.values())
    as_lost = {"resumed_by_itself"}  # told to who wants to hear what is lost

    assert (kinds | {"started"}) - as_lost == set(NOTICE_KINDS)


# ---------------------------------------------------------------------------------------- endings


def test_an_ending_says_what_came_out_and_how_it_stands(run, runs):
    result = {"metric": "held_out/error", "value": 0.01, "before": 0.1}
    run.write_progress(Progress(step=9, result=result))
    stand(run, "number 2 of 5 comparable runs")
    end(run, State.COMPLETED)

    notice = ending_notice(run, runs, run.status())

    assert notice is not None
    assert notice.title == f"pong {run.short_id}: finished"
    assert notice.kinds == {"finished"}
    assert notice.body.splitlines() == [
        "Held-out error fell from 0.100 to 0.0100, a factor of 10.",
        "number 2 of 5 comparable runs",
        "Why: Because.",
        f"Look: rlmaster show {run.short_id}",
    ]


@pytest.mark.parametrize("word", ["best", "worst"])
def test_the_best_and_the_worst_of_a_group_say_so_first(run, runs, word):
    stand(run, f"{word} so far of 5 comparable runs")
    end(run, State.COMPLETED)

    notice = ending_notice(run, runs, run.status())

    assert notice is not None
    assert notice.title == f"pong {run.short_id}: finished, {word} so far of 5 comparable runs"
    assert notice.kinds == {"finished", f"{word}_so_far"}
    assert "comparable" not in notice.body


@pytest.mark.parametrize("state", [State.STOPPED, State.FAILED, State.LOST])
def test_an_ending_that_was_not_wanted_says_why(run, runs, state):
    end(run, state, reason="the disk is full")

    notice = ending_notice(run, runs, run.status())

    assert notice is not None
    assert notice.kinds == {str(state)}
    assert notice.title == f"pong {run.short_id}: {state}"
    assert notice.body.startswith("the disk is full\n")


def test_who_may_not_write_that_a_run_was_lost_tells_it_all_the_same(run, runs):
    notice = ending_notice(run, runs, run.status().enter(State.LOST, reason="killed"))

    assert notice is not None
    assert notice.kinds == {"lost"}


def test_a_second_failure_after_a_resume_is_another_notice(run, runs):
    end(run, State.FAILED, attempt=1)
    first = ending_notice(run, runs, run.status())
    end(run, State.FAILED, attempt=2)
    second = ending_notice(run, runs, run.status())

    assert first is not None
    assert second is not None
    assert first.name != second.name


def test_a_run_that_goes_on_or_ended_long_ago_has_no_ending_to_tell(run, runs):
    assert ending_notice(run, runs, run.status()) is None
    long_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    run.write_status(Status(State.FAILED, since=long_ago))
    assert ending_notice(run, runs, run.status()) is None


def test_a_run_whose_status_is_damaged_is_told_of(run, runs):
    run.status_file.write_text("{")

    notice = ending_notice(run, runs, run.status())

    assert notice is not None
    assert notice.kinds == {"lost"}


def test_a_standing_that_cannot_be_kept_keeps_no_notice_back(run, runs):
    run.write_progress(Progress(result={"metric": "held_out/error", "value": 0.01}))
    run.report.touch()  # in the place of the folder
    end(run, State.COMPLETED)

    notice = ending_notice(run, runs, run.status())

    assert notice is not None
    assert "Held-out error is 0.0100" in notice.body


# ---------------------------------------------------------------------------------------- telling


def test_each_notice_is_pushed_once_whoever_follows(run, runs, pushed):
    events = [event("diverged", "no more numbers", 9), event("note", "eager")]
    first, second = Announcer(run, runs), Announcer(run, runs)
    for announcer in (first, second):
        announcer.tell(events)
        announcer.tell(events)
        announcer.tell_ending(run.status())

    outcomes = first.close() + second.close()

    assert pushed.titles() == [f"pong {run.short_id}: diverged"]
    assert outcomes == [Delivery(True, channel=f"json://127.0.0.1:{pushed.port}")]


def test_a_person_is_pushed_only_what_they_asked_for(run, runs, config_file, receiver):
    write_config(config_file, receiver.json, kinds=["best_so_far", "stalled"])
    announcer = Announcer(run, runs)
    announcer.tell([event("diverged", "no more numbers"), event("stalled", "nothing moves")])
    stand(run, "best so far of 5 comparable runs")
    end(run, State.COMPLETED)
    announcer.tell_ending(run.status())
    announcer.close()

    assert [title.partition(": ")[2] for title in receiver.titles()] == [
        "stalled",
        "finished, best so far of 5 comparable runs",
    ]


def test_what_did_not_arrive_is_told_again_with_the_next_notice(run, runs, pushed):
    pushed.status = 500
    announcer = Announcer(run, runs)
    announcer.tell([event("stalled", "nothing moves")])
    wait_until(lambda: pushed.received)
    pushed.status = 200
    announcer.tell([event("diverged", "no more numbers")])

    assert [outcome.delivered for outcome in announcer.close()] == [True]
    assert [title.partition(": ")[2] for title in pushed.titles()] == [
        "stalled",
        "stalled",
        "diverged",
    ]


def test_what_did_not_arrive_is_told_again_after_a_while(run, runs, pushed, monkeypatch):
    monkeypatch.setattr(announcing, "RETRY_S", 0.05)
    pushed.status = 500
    announcer = Announcer(run, runs)
    announcer.tell([event("stalled", "nothing moves")])
    wait_until(lambda: len(pushed.received) > 1)
    pushed.status = 200
    sent = len(pushed.received)
    wait_until(lambda: len(pushed.received) > sent)

    assert all(outcome.delivered for outcome in announcer.close())


def test_a_silent_service_holds_up_neither_the_run_nor_another_service(
    run, runs, config_file, receiver
):
    claims = runs / ".state" / "announced" / run.id
    with silent_service() as port:
        write_config(config_file, f"json://127.0.0.1:{port}/?rto=30", receiver.json)
        announcer = Announcer(run, runs)
        announcer.tell([event("diverged", "no more numbers")])
        wait_until(lambda: b"delivered\n" in [claim.read_bytes() for claim in claims.glob("*")])
        silent, answered = announcer.close(wait_s=1.0)

    assert answered.delivered
    assert (
        str(silent)
        == f"notice not delivered to json://127.0.0.1:{port}: it does not answer in time"
    )


def test_a_config_that_is_not_valid_ends_nothing_and_is_said(run, runs, config_file, monkeypatch):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    config_file.write_text("[notify]\npush = 3\n")
    announcer = Announcer(run, runs)
    announcer.tell([event("diverged", "no more numbers")])

    problem, desktop = announcer.close()
    assert str(problem).startswith(
        f"notice not delivered to push services: {config_file}, line 2: push must be a list"
    )
    assert desktop.channel == "the desktop"  # which needs no config


def test_without_a_place_for_claims_everything_is_told_once_by_each(run, runs, pushed):
    (runs / ".state").touch()
    end(run, State.FAILED, reason="the disk is full")
    for _ in range(2):
        announcer = Announcer(run, runs)
        announcer.tell_ending(run.status())
        announcer.tell_ending(run.status())
        announcer.close()

    assert len(pushed.received) == 2


# ------------------------------------------------------------------------------ the worker's last


def test_the_worker_tells_how_it_ended_and_the_follower_not_again(run, runs, pushed):
    end(run, State.FAILED, reason="killed")

    assert announce_ending(run, runs) == [Delivery(True, channel=f"json://127.0.0.1:{pushed.port}")]
    follower = Announcer(run, runs)
    follower.tell_ending(run.status())
    assert follower.close() == []
    assert announce_ending(run, runs) == []
    assert pushed.titles() == [f"pong {run.short_id}: failed"]


def test_an_ending_is_told_within_a_bound(run, runs, config_file, monkeypatch):
    monkeypatch.setattr(announcing, "LAST_NOTICE_S", 4.0)
    end(run, State.FAILED)
    with silent_service() as port:
        write_config(config_file, f"json://127.0.0.1:{port}/?rto=30")
        (outcome,) = announce_ending(run, runs)

    assert outcome.note == "it does not answer in time"


def test_a_standing_that_takes_long_holds_up_no_worker(run, runs, config_file, monkeypatch):
    monkeypatch.setattr(announcing, "LAST_NOTICE_S", 0.1)
    released = threading.Event()

    def wait(*_arguments: object) -> str:
        released.wait()
        return ""

    monkeypatch.setattr(announcing, "standing_sentence", wait)
    end(run, State.COMPLETED)

    assert announce_ending(run, runs) == []
    released.set()


def test_a_silent_service_keeps_no_process_from_ending(run, config_file):
    end(run, State.FAILED)
    with silent_service() as port:
        write_config(config_file, f"json://127.0.0.1:{port}/?rto=100")
        done = subprocess.run(
            [sys.executable, "-c", END, str(run.path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == f"notice not delivered to json://127.0.0.1:{port}: it does not answer in time\n"
    )


def test_whatever_goes_wrong_with_the_last_notice_is_no_error(run, runs, pushed, monkeypatch):
    end(run, State.FAILED)
    run.rationale_file.unlink()
    run.rationale_file.mkdir()

    (outcome,) = announce_ending(run, runs)

    assert outcome.note.startswith("IsADirectoryError")
    monkeypatch.setattr(threading.Thread, "start", no_more_threads)
    (outcome,) = announce_ending(run, runs)
    assert outcome.note == "can't start new thread"


def no_more_threads(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


# ------------------------------------------------------------------------------ several processes

END = """
import sys
from pathlib import Path
from rlmaster import announcing
from rlmaster.run_folder import RunFolder
announcing.LAST_NOTICE_S = 3.0
run = RunFolder(Path(sys.argv[1]))
print(*announcing.announce_ending(run, run.path.parent.parent))
"""

FOLLOW = """
import sys
from pathlib import Path
from rlmaster.announcing import Announcer
from rlmaster.events import read_events
from rlmaster.run_folder import RunFolder
run = RunFolder(Path(sys.argv[1]))
announcer = Announcer(run, run.path.parent.parent)
announcer.tell(read_events(run.training_events)[0])
announcer.tell_ending(run.status())
print("told", flush=True)
print([str(outcome) for outcome in announcer.close(30)], flush=True)
"""


@pytest.fixture
def follow(run) -> Iterator["Follow"]:
    started = Follow(run)
    yield started
    started.close()


class Follow:
    """Starts processes that announce what is in a run's folder."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self) -> subprocess.Popen[str]:
        """Start one, and return it once it has begun to tell."""
        process = subprocess.Popen(
            [sys.executable, "-c", FOLLOW, str(self._run.path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "told\n"
        return process

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


def test_several_processes_tell_each_notice_once_on_each_channel(
    run, config_file, receiver, follow
):
    write_config(config_file, f"{receiver.json}?rto=60", f"{receiver.ntfy}?rto=60")
    for kind in ("plateau", "stalled", "diverged"):
        append_event(run.training_events, event(kind, "so it is"))
    end(run, State.FAILED)
    receiver.answers.clear()
    processes = [follow() for _ in range(4)]
    receiver.answers.set()

    outcomes = [process.communicate(timeout=60)[0] for process in processes]

    assert [process.returncode for process in processes] == [0] * 4, outcomes
    told = [f"pong {run.short_id}: {kind}" for kind in ("plateau", "stalled", "diverged", "failed")]
    assert sorted(receiver.titles()) == sorted(2 * told)
    assert "not delivered" not in "".join(outcomes)


def test_a_notice_is_not_lost_with_the_process_that_was_telling_it(
    run, config_file, receiver, follow
):
    write_config(config_file, f"{receiver.json}?rto=60")
    end(run, State.FAILED)
    receiver.answers.clear()
    killed = follow()
    wait_until(lambda: receiver.received)
    waiting = follow()
    killed.kill()
    receiver.answers.set()

    outcome, _ = waiting.communicate(timeout=60)

    assert outcome == f"['notice delivered to json://127.0.0.1:{receiver.port}']\n"
    assert len(receiver.received) == 2  # the first was never acknowledged to anybody
    assert follow().communicate(timeout=60)[0] == "[]\n"
    assert len(receiver.received) == 2


# ------------------------------------------------------------------------------- on other computers


def test_of_a_guest_no_standing_is_told_which_depends_on_runs_that_are_not_here(run, runs):
    ended = Status(State.COMPLETED, since=utc_now())
    assert "standing" in body_of(run, runs, ended)
    put_here(run)
    assert "standing" not in body_of(run, runs, ended)
    put_here(run, kind="local")  # it came back
    assert "standing" in body_of(run, runs, ended)


def body_of(run: RunFolder, runs: Path, status: Status) -> str:
    """Return what the notice of an ending says, with a standing that is known."""
    run.report.mkdir(exist_ok=True)
    write_json(run.standing_file, {"sentence": "standing"})
    notice = ending_notice(run, runs, status)
    assert notice is not None
    return notice.title + notice.body


def test_what_is_held_back_is_pushed_later_and_not_lost_with_the_end(run, runs, pushed):
    announcer = Announcer(run, runs)
    begun = time.monotonic()

    announcer.tell_ending(Status(State.FAILED, since=utc_now()), hold_push_s=0.3)
    (delivery,) = announcer.close()

    assert delivery.delivered
    assert time.monotonic() - begun >= 0.3
    assert len(pushed.received) == 1


def test_a_run_of_which_nothing_is_told_costs_no_thread(run, runs, pushed):
    before = threading.active_count()
    announcer = Announcer(run, runs)
    announcer.tell([event("note", "hello")])
    assert threading.active_count() == before
    assert announcer.close() == []
    assert pushed.received == []
