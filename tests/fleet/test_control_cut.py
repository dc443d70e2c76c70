"""Stopping, resuming and moving where something was cut, or two do it at once: once, or not."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from launches import launched, make_ready, there
from quick_training import end, times_started, words
from waiting import wait_until

from rlmaster.fleet.owed import is_owed
from rlmaster.fleet.watch import sole_watch
from rlmaster.run_status import State

pytestmark = pytest.mark.system

KILLED = str(Path(__file__).parent / "killed_command.py")


@pytest.fixture
def hosts(lab, rlmaster, namespaces):
    """Two hosts that the project may use, whose folders have the same names."""
    office, attic = lab.add_hosts("office", "attic")
    make_ready(rlmaster, lab)
    return {"office": office, "attic": attic}


def place_of(hosts, run):
    """Return a run's folder where it is made, as seen from here."""
    return there(hosts[run.placement().host], run)


def known(run, state, attempt=1, bound_s=60.0):
    """Wait until it is known here how the run stands."""

    def is_known():
        status = run.status()
        return (status.state, status.attempt) == (state, attempt)

    wait_until(is_known, bound_s)


def living(rlmaster, hosts, *given):
    """Return a run that is made on the office, here."""
    run = launched(rlmaster, *given)
    words(place_of(hosts, run))
    known(run, State.RUNNING)
    return run


def done(rlmaster, *command):
    """Run a command that succeeds."""
    answer = rlmaster(*command)
    assert answer.returncode == 0, answer.stderr
    return answer


def resumed(rlmaster, run, *where):
    """Resume a run, and return what was said about it."""
    return done(rlmaster, "resume", run.short_id, *where, "--detach").stderr


def stopped(rlmaster, hosts, *given):
    """Return a run that was stopped on the office and of which all is here."""
    run = living(rlmaster, hosts, *given)
    done(rlmaster, "stop", run.short_id)
    known(run, State.STOPPED)
    wait_until(lambda: not is_owed(run), 60)
    return run


def given_up(rlmaster, hosts, *given):
    """Return a run of the office, whose power was cut, that was given up there."""
    run = living(rlmaster, hosts, *given)
    hosts["office"].power_off()
    done(rlmaster, "stop", "--abandon", run.short_id)
    return run


def nobody_watches(rlmaster):
    """End whoever watches, who would be waiting before the next try."""
    for pid in rlmaster.processes("rlmaster watch"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not rlmaster.processes("rlmaster watch"))


def test_a_resume_that_was_cut_and_then_stopped_never_begins(rlmaster, hosts):
    run = stopped(rlmaster, hosts)
    nobody_watches(rlmaster)  # who might complete it before it is stopped
    rlmaster.python(KILLED, "rlmaster.fleet.control:hand_over", "1", "resume", run.short_id)
    assert (run.status().state, run.status().attempt) == (State.QUEUED, 2)

    done(rlmaster, "stop", run.short_id)

    assert (run.status().state, run.status().attempt) == (State.STOPPED, 2)
    wait_until(lambda: not is_owed(run), 60)
    assert times_started(place_of(hosts, run)) == 1
    resumed(rlmaster, run)
    known(run, State.RUNNING, attempt=3)


def test_a_move_that_was_cut_before_it_was_queued_can_be_repeated(rlmaster, hosts):
    run = stopped(rlmaster, hosts)
    moment = ("rlmaster.fleet.control:owe", "1")
    rlmaster.python(KILLED, *moment, "resume", run.short_id, "--host", "attic")
    assert (run.placement().host, run.status().state) == ("attic", State.STOPPED)

    resumed(rlmaster, run, "--host", "attic")

    words(place_of(hosts, run))
    assert place_of(hosts, run).status().attempt == 2


def test_of_two_that_resume_a_run_at_once_one_does(rlmaster, hosts):
    run = stopped(rlmaster, hosts)
    command = rlmaster.command("resume", run.short_id, "--detach")
    both = [
        subprocess.Popen(
            [*command, *where],
            cwd=rlmaster.project,
            env=rlmaster.environment,
            stderr=subprocess.PIPE,
        )
        for where in ([], ["--host", "attic"])
    ]
    said = [process.communicate(timeout=120)[1] for process in both]

    assert sorted(process.returncode == 0 for process in both) == [False, True], said
    known(run, State.RUNNING, attempt=2)
    words(place_of(hosts, run))
    lives = [name for name in hosts if hosts[name].processes("-m rlmaster.training ")]
    assert lives == [run.placement().host]


@pytest.mark.parametrize("where", [["--host", "attic"], ["--host", "office"], []])
def test_a_run_goes_on_before_its_end_is_known_here(rlmaster, hosts, where):
    run = living(rlmaster, hosts)
    nobody_watches(rlmaster)
    with sole_watch(rlmaster.project / "runs", quiet=True) as is_ours:  # so that nobody mirrors
        assert is_ours
        done(rlmaster, "stop", run.short_id)
        assert run.status().state is State.RUNNING
        resumed(rlmaster, run, *where)
    done(rlmaster, "runs")
    known(run, State.RUNNING, attempt=2)
    end(place_of(hosts, run))
    known(run, State.COMPLETED, attempt=2)


def test_a_run_that_its_host_has_no_more_goes_on_there_from_what_is_here(rlmaster, hosts):
    run = stopped(rlmaster, hosts)
    shutil.rmtree(place_of(hosts, run).path)

    said = resumed(rlmaster, run)

    assert "office does not have it" in said
    words(place_of(hosts, run))
    known(run, State.RUNNING, attempt=2)


def test_a_run_whose_folder_vanished_can_be_ended(rlmaster, hosts):
    run = living(rlmaster, hosts)
    folder = place_of(hosts, run).path
    folder.rename(folder.with_name(".gone"))  # at once, since its worker writes into it

    done(rlmaster, "stop", run.short_id)

    assert run.status().state is State.LOST
    assert "gone from office" in run.status().reason
    wait_until(lambda: not is_owed(run), 60)


def test_a_run_of_a_host_that_hosts_toml_names_no_more_goes_on_elsewhere(rlmaster, hosts):
    run = stopped(rlmaster, hosts)
    inventory = rlmaster.project / "hosts.toml"
    inventory.write_text(inventory.read_text().replace("[hosts.office]", "[hosts.cellar]"))

    resumed(rlmaster, run, "--host", "attic")

    words(place_of(hosts, run))
    assert not run.placement().left


def test_what_an_old_host_did_by_itself_does_not_keep_a_run_from_going_on(rlmaster, hosts):
    run = given_up(rlmaster, hosts, "--set", "on_lost=resume")
    hosts["office"].power_on()
    nobody_watches(rlmaster)
    done(rlmaster, "runs")
    wait_until(lambda: not run.placement().left, 60)
    assert place_of(hosts, run).status().attempt == 2  # in which it waited until it was told

    resumed(rlmaster, run)

    known(run, State.RUNNING, attempt=3)
    end(place_of(hosts, run))
    known(run, State.COMPLETED, attempt=3)


def test_a_run_that_comes_back_to_a_host_that_was_not_told_yet_is_not_ended_there(rlmaster, hosts):
    run = given_up(rlmaster, hosts)
    resumed(rlmaster, run, "--host", "attic")
    words(place_of(hosts, run))
    done(rlmaster, "stop", run.short_id)
    known(run, State.STOPPED, attempt=2)
    nobody_watches(rlmaster)
    hosts["office"].power_on()

    resumed(rlmaster, run, "--host", "office")

    assert not run.placement().left
    end(place_of(hosts, run))
    known(run, State.COMPLETED, attempt=3)


def test_an_old_host_is_still_told_after_a_run_went_on_where_it_is_now(rlmaster, hosts):
    run = given_up(rlmaster, hosts)
    resumed(rlmaster, run, "--host", "attic")
    words(place_of(hosts, run))
    done(rlmaster, "stop", run.short_id)
    known(run, State.STOPPED, attempt=2)

    resumed(rlmaster, run)

    assert [left.host for left in run.placement().left] == ["office"]


def test_a_run_that_may_live_where_it_was_given_up_is_not_deleted(rlmaster, hosts):
    run = given_up(rlmaster, hosts)

    refused = rlmaster("delete", run.short_id, "--yes")

    assert refused.returncode == 1
    assert "office, which must be told to end it first" in refused.stderr
    assert run.exists()
    hosts["office"].power_on()
    nobody_watches(rlmaster)
    done(rlmaster, "runs")
    wait_until(lambda: not run.placement().left, 60)
    done(rlmaster, "delete", run.short_id, "--yes")
    assert not run.exists()
