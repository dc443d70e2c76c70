"""Runs that go on on another computer than before, with all that they have kept."""

import json
import time

import pytest
import quick_training
from launches import await_end, keep, launched, there
from waiting import wait_until

from rlmaster.fleet.owed import is_owed
from rlmaster.run_index.reading import SETTLED_S
from rlmaster.run_status import State

pytestmark = pytest.mark.system


def stopped(run, place):
    """Let a training end after it was asked to, and wait until that is known here."""
    quick_training.end(place, 75)
    await_end(run)
    assert run.status().state is State.STOPPED


def resumed(rlmaster, hosts, run, host):
    """Resume a run on a host, and return its folder there."""
    done = rlmaster("resume", str(run.path), "--host", host, "--detach", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "running"
    place = there(hosts[host], run)
    quick_training.words(place)
    return place


def kept(place):
    """Return what a run has kept, by name."""
    files = (path for top in (place.checkpoints, place.replay) for path in top.rglob("*"))
    return {p.relative_to(place.path).as_posix(): p.read_bytes() for p in files if p.is_file()}


def test_a_run_takes_along_what_it_has_kept_and_finds_it_when_it_returns(rlmaster, hosts):
    run = launched(rlmaster, host="office")
    first = there(hosts["office"], run)
    quick_training.words(first)
    keep(first)
    stopped(run, first)
    wanted, chunk = kept(first), (first.replay / "chunk-000000").stat()

    second = resumed(rlmaster, hosts, run, "attic")
    assert second.status().attempt == 2
    assert kept(second) == wanted
    stopped(run, second)
    third = resumed(rlmaster, hosts, run, "office")

    assert third.status().attempt == 3
    assert kept(third) == wanted
    assert (third.replay / "chunk-000000").stat().st_ino == chunk.st_ino  # it did not travel
    assert run.status().attempt == 3
    assert [attempt["attempt"] for attempt in third.attempts()] == [1, 2]


def test_a_run_that_goes_on_elsewhere_is_listed_so(rlmaster, hosts):
    run = launched(rlmaster, host="office")
    first = there(hosts["office"], run)
    quick_training.words(first)
    stopped(run, first)
    wait_until(lambda: not is_owed(run), 60)
    wait_until(lambda: time.time() - run.path.stat().st_ctime > SETTLED_S)
    assert listed(rlmaster) == ("stopped", "office")

    second = resumed(rlmaster, hosts, run, "attic")

    assert listed(rlmaster) == ("running", "attic")
    stopped(run, second)


def listed(rlmaster):
    """Return the state and the host of the only run, as the list has them."""
    (row,) = json.loads(rlmaster("runs", "--json").stdout)["runs"]
    return row["state"], row["host"]
