import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fleet.places import put_on
from made_runs import make_run
from waiting import wait_until

from rlmaster.events import Event, append_event, event
from rlmaster.fleet import tidings
from rlmaster.fleet.tidings import Tidings
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State, Status


@pytest.fixture
def runs(tmp_path: Path, own_locks: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(runs: Path) -> RunFolder:
    made = make_run(runs)
    put_on(made)
    made.write_status(Status(State.RUNNING, host="office"))
    return made


@pytest.fixture
def config(tmp_path, receiver, monkeypatch) -> Path:
    """A person's configuration, which has them pushed everything."""
    file = tmp_path / "config.toml"
    file.write_text(f'[notify]\ndesktop = false\npush = ["{receiver.json}"]\n')
    file.chmod(0o600)
    monkeypatch.setenv("RLMASTER_CONFIG", str(file))
    return file


@pytest.mark.usefixtures("config")
def test_each_event_is_told_once_whoever_tells_it(runs, run, receiver):
    append_event(run.training_events, event("diverged", "The loss is not a number.", 40))
    first, second = Tidings(runs), Tidings(runs)

    assert [happened.kind for happened in first.look(run)] == ["diverged"]
    assert first.look(run) == []
    second.look(run)
    append_event(run.training_events, event("plateau", "No new best in 10 evaluations.", 80))
    first.look(run)
    first.tell_ending(run, Status(State.COMPLETED, since=datetime.now(UTC).isoformat()))
    second.tell_ending(run, Status(State.COMPLETED, since=datetime.now(UTC).isoformat()))

    what = [title.partition(": ")[2] for title in receiver.titles()]
    assert what == ["diverged", "plateau", "finished"]


@pytest.mark.usefixtures("config")
def test_what_the_worker_pushed_is_not_pushed_again(runs, run, receiver, monkeypatch):
    monkeypatch.setattr(tidings, "CLAIMS_ARRIVE_S", 1.0)
    name = "finished-attempt-1 push-json-127.0.0.1-" + str(receiver.port)
    claim = runs / ".state" / "announced" / run.id / name
    claim.parent.mkdir(parents=True)
    claim.write_bytes(b"delivered\n")

    ended = Status(State.COMPLETED, announces=True, since=datetime.now(UTC).isoformat())
    assert Tidings(runs).tell_ending(run, ended) == []
    assert receiver.received == []


@pytest.mark.usefixtures("config")
def test_what_the_worker_did_not_push_in_time_is_pushed_here(runs, run, receiver, monkeypatch):
    monkeypatch.setattr(tidings, "CLAIMS_ARRIVE_S", 0.2)
    begun = time.monotonic()

    ended = Status(State.FAILED, announces=True, since=datetime.now(UTC).isoformat())
    (delivery,) = Tidings(runs).tell_ending(run, ended)

    assert delivery.delivered
    assert time.monotonic() - begun >= 0.2
    assert len(receiver.received) == 1


@pytest.mark.usefixtures("config")
def test_events_before_anything_is_known_of_the_worker_are_held_too(
    runs, run, receiver, monkeypatch
):
    monkeypatch.setattr(tidings, "CLAIMS_ARRIVE_S", 0.2)
    run.write_status(Status(State.QUEUED))
    begun = time.monotonic()
    append_event(run.training_events, event("diverged", "The loss is not a number.", 40))

    Tidings(runs).look(run)

    wait_until(lambda: receiver.received)
    assert time.monotonic() - begun >= 0.2


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("ahead", [timedelta(days=-3), timedelta(), timedelta(days=3)])
def test_news_are_news_whatever_the_clock_there_says(runs, run, receiver, ahead):
    moment = (datetime.now(UTC) + ahead).isoformat()
    append_event(run.training_events, Event("diverged", "", 40, time=moment))

    Tidings(runs).look(run, ahead)

    wait_until(lambda: receiver.received)
