"""Stopping, giving up, resuming and moving runs on real hosts of the lab."""

import json
import os
import signal

import launches
import pytest
from launches import launched
from quick_training import end, is_training, times_started, words
from waiting import wait_until

from rlmaster.durable_files import write_json
from rlmaster.fleet.owed import is_owed
from rlmaster.run_status import FINAL_STATES, State

pytestmark = pytest.mark.system


def there(hosts, run):
    """Return a run's folder where it is made, as seen from here."""
    return launches.there(hosts[run.placement().host], run)


def mirrored(run, state, attempt=1, bound_s=40.0):
    """Wait until it is known here how the run stands."""

    def is_known():
        status = run.status()
        return (status.state, status.attempt) == (state, attempt)

    wait_until(is_known, bound_s)


def test_a_run_is_stopped_where_it_is_made(rlmaster, hosts):
    run = launched(rlmaster)
    words(there(hosts, run))

    done = rlmaster("stop", run.short_id, "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"][0]["state"] == "stopped"
    assert there(hosts, run).status().state is State.STOPPED
    mirrored(run, State.STOPPED)
    wait_until(lambda: not is_owed(run))


def test_a_run_that_waits_there_leaves_the_queue(rlmaster, hosts):
    assert rlmaster("hosts", "drain", "office").returncode == 0
    run = launched(rlmaster)
    assert run.status().state is State.QUEUED

    assert rlmaster("stop", run.short_id).returncode == 0

    mirrored(run, State.STOPPED)
    assert rlmaster("hosts", "drain", "office", "--open").returncode == 0
    assert times_started(there(hosts, run)) == 0


def test_a_stopped_run_goes_on_where_it_was(rlmaster, hosts):
    run = launched(rlmaster)
    words(there(hosts, run))
    assert rlmaster("stop", run.short_id).returncode == 0
    mirrored(run, State.STOPPED)
    launched_as = run.config()
    write_json(run.config_file, {**launched_as, "seed": 7})
    refused = rlmaster("resume", run.short_id, "--detach")
    assert (refused.returncode, "seed is 7" in refused.stderr) == (2, True)
    write_json(run.config_file, launched_as)

    done = rlmaster("resume", run.short_id, "--detach")

    assert done.returncode == 0, done.stderr
    mirrored(run, State.RUNNING, attempt=2)
    words(there(hosts, run))
    end(there(hosts, run))
    mirrored(run, State.COMPLETED, attempt=2)
    assert times_started(there(hosts, run)) == 2
    assert [attempt["attempt"] for attempt in run.attempts()] == [1, 2]


def test_a_stopped_run_goes_on_on_another_host(rlmaster, hosts):
    run = launched(rlmaster)
    words(there(hosts, run))
    (there(hosts, run).path / "tensors").mkdir()
    (there(hosts, run).path / "tensors" / "kept.safetensors").write_bytes(b"kept")
    assert rlmaster("stop", run.short_id).returncode == 0
    mirrored(run, State.STOPPED)
    before = there(hosts, run)

    done = rlmaster("resume", run.short_id, "--host", "attic", "--detach")

    assert done.returncode == 0, done.stderr
    assert run.placement().host == "attic"
    assert run.placement().from_attempt == 2
    words(there(hosts, run))
    assert (there(hosts, run).path / "tensors" / "kept.safetensors").read_bytes() == b"kept"
    assert not before.placement().machine  # where it was, nobody resumes it
    end(there(hosts, run))
    mirrored(run, State.COMPLETED, attempt=2)
    assert before.status().attempt == 1


def test_a_stopped_run_comes_home_and_goes_out_again(rlmaster, hosts):
    run = launched(rlmaster)
    words(there(hosts, run))
    assert rlmaster("stop", run.short_id).returncode == 0
    mirrored(run, State.STOPPED)

    done = rlmaster("resume", run.short_id, "--host", "local", "--detach")

    assert done.returncode == 0, done.stderr
    assert run.is_here()
    words(run)
    assert run.status().attempt == 2
    assert rlmaster("stop", run.short_id).returncode == 0
    done = rlmaster("resume", run.short_id, "--host", "office", "--detach")
    assert done.returncode == 0, done.stderr
    words(there(hosts, run))
    assert there(hosts, run).status().attempt == 3
    end(there(hosts, run))
    mirrored(run, State.COMPLETED, attempt=3)


def test_a_host_that_can_be_asked_is_not_given_up(rlmaster, hosts):
    run = launched(rlmaster)
    words(there(hosts, run))

    done = rlmaster("stop", "--abandon", run.short_id)

    assert done.returncode == 1
    assert f"office can be asked; `rlmaster stop {run.short_id}` ends" in done.stderr
    assert run.status().state is State.RUNNING


def test_a_run_of_a_host_that_is_cut_off_goes_on_elsewhere_and_never_twice(rlmaster, hosts, hasty):
    run = launched(rlmaster)
    old = there(hosts, run)
    words(old)
    mirrored(run, State.RUNNING)
    hosts["office"].drop_packets(True)

    asked = rlmaster("stop", run.short_id)
    assert asked.returncode == 3
    assert "--abandon" in asked.stderr
    assert asked.stderr.startswith("connecting to office\n")  # nobody waits for it without a sign
    refused = rlmaster("resume", run.short_id, "--host", "attic", "--detach")
    assert refused.returncode == 3
    assert "--abandon" in refused.stderr
    assert run.placement().host == "office"
    given_up = rlmaster("stop", "--abandon", run.short_id)
    assert given_up.returncode == 0, given_up.stderr
    assert run.status().state is State.LOST
    resumed = rlmaster("resume", run.short_id, "--host", "attic", "--detach")
    assert resumed.returncode == 0, resumed.stderr

    words(there(hosts, run))
    assert is_training(old)  # which nobody can help as long as the link is cut
    assert run.status().attempt == 2
    hosts["office"].drop_packets(False)
    for watcher in rlmaster.processes("rlmaster watch"):  # which would wait before it tries again
        os.kill(watcher, signal.SIGKILL)
    assert rlmaster("runs").returncode == 0
    wait_until(lambda: old.status().state in FINAL_STATES, 90)
    wait_until(lambda: not run.placement().left, 90)
    assert not old.placement().machine
    assert run.status().attempt == 2
    end(there(hosts, run))
    mirrored(run, State.COMPLETED, attempt=2)
    assert times_started(old) == 1
    assert times_started(there(hosts, run)) == 1


def test_a_run_that_was_given_up_goes_on_where_it_was_once_its_host_is_back(rlmaster, hosts):
    run = launched(rlmaster)
    words(there(hosts, run))
    (there(hosts, run).path / "replay").mkdir()
    (there(hosts, run).path / "replay" / "frames").write_bytes(b"only there")
    mirrored(run, State.RUNNING)
    hosts["office"].drop_packets(True)
    assert rlmaster("stop", "--abandon", run.short_id).returncode == 0
    hosts["office"].drop_packets(False)

    resumed = rlmaster("resume", run.short_id, "--detach")

    assert resumed.returncode == 0, resumed.stderr
    mirrored(run, State.RUNNING, attempt=2)
    assert (there(hosts, run).path / "replay" / "frames").read_bytes() == b"only there"
    wait_until(lambda: times_started(there(hosts, run)) == 2)
    end(there(hosts, run))
    mirrored(run, State.COMPLETED, attempt=2)
