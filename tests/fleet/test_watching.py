"""Watching runs on other computers, while all goes wrong that can."""

import json
import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import launches
import pytest
import quick_training
from elsewhere import DETECTED_S, arrives, end, happen, launch, said, watchers
from waiting import wait_until

from rlmaster.fleet.owed import is_owed, owe, settle
from rlmaster.fleet.visit import FIRST_BYTES
from rlmaster.hosts.reachability import unreachable_since
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State

pytestmark = pytest.mark.system


def trouble(rlmaster, host: str) -> str:
    """Return why a host is said to be out of reach; nothing where it is not."""
    found = unreachable_since(rlmaster.project / "runs", host)
    return found.reason if found else ""


def same_bytes(run: RunFolder, there: RunFolder) -> bool:
    """Tell whether what a run has written is here as it is there."""
    names = ["log.txt", "attempts.jsonl", "events/worker.jsonl", "events/training.jsonl"]
    return all((run.path / name).read_bytes() == (there.path / name).read_bytes() for name in names)


def test_a_run_elsewhere_comes_here_while_it_is_made_and_is_whole_at_its_end(office, rlmaster):
    run, there = launch(rlmaster, office)
    arrives(there, run, "hello")
    (there.path / "videos").mkdir()
    (there.path / "videos" / "episode.mp4").write_bytes(b"moving pictures")

    quick_training.end(there)

    wait_until(lambda: run.status().state is State.COMPLETED, 30)
    assert (run.path / "videos" / "episode.mp4").read_bytes() == b"moving pictures"
    wait_until(lambda: not is_owed(run), 60)
    assert run.report_tex.exists()
    assert run.status() == there.status()
    assert same_bytes(run, there)
    wait_until(lambda: not watchers(rlmaster))


def test_one_host_that_falls_silent_leaves_the_others_alone(rlmaster, hosts, hasty):
    office, attic = hosts.values()
    (run, there), (other_run, other_there) = launch(rlmaster, office), launch(rlmaster, attic)
    arrives(there, run, "before")
    arrives(other_there, other_run, "before")

    office.drop_packets(True)
    happen(there, "while nobody heard")
    wait_until(lambda: trouble(rlmaster, "office"), DETECTED_S)
    assert not trouble(rlmaster, "attic")
    arrives(other_there, other_run, "meanwhile")
    end(other_there, other_run)
    told = rlmaster("runs").stderr
    assert "office unreachable since" in told
    assert "unreachable since" in rlmaster("show", run.short_id).stdout
    assert run.status().state is State.RUNNING

    office.drop_packets(False)
    wait_until(lambda: "while nobody heard" in said(run), DETECTED_S)
    assert not trouble(rlmaster, "office")
    end(there, run)
    assert same_bytes(run, there)


def test_a_watcher_may_be_killed_at_any_moment(office, rlmaster):
    run, there = launch(rlmaster, office)
    chosen = random.Random(7)
    for number in range(5):
        happen(there, f"event {number}")
        with (there.path / "log.txt").open("a") as log:
            log.write(f"line {number}\n" * chosen.randrange(1, 20_000))
        if chosen.random() < 0.5:
            wait_until(lambda number=number: f"event {number}" in said(run))
        for process in watchers(rlmaster):
            os.kill(process, signal.SIGKILL)
        rlmaster("runs")  # whoever looks starts another one
    arrives(there, run, "the last")
    quick_training.end(there)
    for process in watchers(rlmaster):
        os.kill(process, signal.SIGKILL)
    assert rlmaster("runs").returncode == 0

    wait_until(lambda: not is_owed(run), 60)
    assert run.status().state is State.COMPLETED
    assert same_bytes(run, there)


def test_a_laptop_may_sleep(office, rlmaster):
    run, there = launch(rlmaster, office)
    arrives(there, run, "awake")
    (watcher,) = watchers(rlmaster)

    os.kill(watcher, signal.SIGSTOP)
    office.link(up=False)
    happen(there, "in the night")
    wait_until(lambda: "Stopped" in process_state(watcher) or "stopped" in process_state(watcher))
    office.link(up=True)
    os.kill(watcher, signal.SIGCONT)

    wait_until(lambda: "in the night" in said(run), DETECTED_S)
    assert watchers(rlmaster) == [watcher]
    end(there, run)


def process_state(number: int) -> str:
    """Return what the kernel says a process does."""
    return Path(f"/proc/{number}/status").read_text().partition("State:")[2].partition("\n")[0]


def test_a_host_with_another_key_is_left_alone_until_somebody_has_looked_at_it(
    lab, office, rlmaster
):
    run, there = launch(rlmaster, office)
    arrives(there, run, "before")

    key = office.rotate_key()
    office.kill_sshd()  # with the session that trusts it
    office.start_sshd()
    wait_until(lambda: "key" in trouble(rlmaster, "office"), DETECTED_S)
    assert "\n" not in trouble(rlmaster, "office")
    assert "ssh-keygen" in trouble(rlmaster, "office")
    happen(there, "after")
    for _ in range(2):  # which takes longer than the first pause of a host that only was away
        assert trouble(rlmaster, "office") in rlmaster("show", run.short_id, "--json").stdout
    assert "after" not in said(run)
    assert refusals(office) == 1

    lines = lab.known_hosts.read_text().splitlines()
    lab.known_hosts.write_text("\n".join([*lines[:-1], f"{office.address} {key}", ""]))
    wait_until(lambda: "after" in said(run), DETECTED_S)
    end(there, run)


def refusals(host) -> int:
    """Return how often somebody has left a host before logging in."""
    return host.inside("/opt/host/sshd.log").read_text().count("[preauth]")


def test_a_resume_that_was_cut_is_completed_on_contact(office, rlmaster):
    run, there = launch(rlmaster, office)
    quick_training.end(there, 1)
    wait_until(lambda: not is_owed(run), 60)
    assert run.status().state is State.FAILED
    (there.path / "go").unlink()

    owe(run)
    run.write_status(run.status().next_attempt("office"))
    assert rlmaster("runs").returncode == 0

    wait_until(lambda: run.status().state is State.RUNNING, DETECTED_S)
    assert run.status().attempt == 2
    end(there, run)
    assert quick_training.times_started(there) == 2


def test_what_becomes_of_a_run_whose_worker_is_killed_is_told_by_its_host(office, rlmaster):
    run, there = launch(rlmaster, office)
    arrives(there, run, "before")
    wait_until(lambda: not office.processes("look-after"))  # what is asked on contact

    for process in office.processes("rlmaster."):
        with suppress(ProcessLookupError):  # it ended with the one before
            os.kill(process, signal.SIGKILL)

    wait_until(lambda: run.status().state is State.LOST, 40)
    assert "killed" in run.status().reason
    wait_until(lambda: not is_owed(run), 60)


def test_after_a_restart_of_its_host_a_run_is_lost(office, rlmaster):
    run, there = launch(rlmaster, office)
    arrives(there, run, "before")

    office.reboot()

    wait_until(lambda: run.status().state is State.LOST, 60)
    assert "restarted" in run.status().reason
    assert run.status() == launches.there(office, run).status()


def test_a_host_that_hosts_toml_names_no_more_is_said_to_be_out_of_reach(lab, office, rlmaster):
    run, there = launch(rlmaster, office)
    arrives(there, run, "before")
    hosts = rlmaster.project / "hosts.toml"
    known = hosts.read_text()

    hosts.write_text('[hosts.local]\nkind = "local"\n')
    wait_until(lambda: "hosts.toml" in trouble(rlmaster, "office"))
    happen(there, "unheard")
    hosts.write_text(known)

    wait_until(lambda: "unheard" in said(run))
    assert not trouble(rlmaster, "office")
    end(there, run)


def test_a_run_that_lost_its_marker_is_followed_as_soon_as_somebody_looks(office, rlmaster):
    run, there = launch(rlmaster, office)
    arrives(there, run, "before")
    for process in watchers(rlmaster):
        os.kill(process, signal.SIGKILL)
    settle(run)
    happen(there, "unheard")

    assert rlmaster("runs").returncode == 0

    wait_until(lambda: "unheard" in said(run))
    end(there, run)


def test_a_run_that_was_given_up_is_ended_by_its_host_on_contact(office, rlmaster):
    run, there = launch(rlmaster, office)
    arrives(there, run, "before")

    office.kill_sshd()
    wait_until(lambda: trouble(rlmaster, "office"), DETECTED_S)
    done = rlmaster("stop", "--abandon", run.short_id)
    assert done.returncode == 0, done.stderr
    assert run.status().state is State.LOST
    happen(there, "of no interest")
    office.start_sshd()

    wait_until(lambda: not is_owed(run), DETECTED_S)
    wait_until(lambda: there.status().state not in (State.RUNNING, State.QUEUED))
    assert run.status().state is State.LOST
    assert "of no interest" not in said(run)
    placement = run.placement()
    assert placement is not None
    assert placement.left == ()


def test_a_program_reads_each_change_as_a_line(office, rlmaster):
    run, there = launch(rlmaster, office)
    arrives(there, run, "before")
    shown = rlmaster.scratch / "lines"
    watching = rlmaster.start("-m", "rlmaster", "watch", "--json", output=shown)

    def changes(kind: str) -> list[dict[str, object]]:
        lines = shown.read_text().splitlines(keepends=True)
        seen = [json.loads(line) for line in lines if line.endswith("\n")]
        return [change for change in seen if change["kind"] == kind]

    wait_until(lambda: changes("host"))
    assert changes("host")[0]["reachable"] is True
    wait_until(lambda: not watchers(rlmaster))  # one process watches, and it is this one
    happen(there, "hello")
    wait_until(lambda: any("events/training.jsonl" in c["paths"] for c in changes("run")))
    quick_training.end(there)
    wait_until(lambda: changes("ended"), 30)
    assert changes("ended")[0]["run_folder"] == str(run.path)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(20) == 130


def test_who_follows_a_run_elsewhere_mirrors_it_and_hands_over_with_ctrl_c(office, rlmaster):
    run, there = launch(rlmaster, office)
    words = rlmaster.scratch / "words"
    following = rlmaster.start("-m", "rlmaster", "follow", run.short_id, words=words)
    wait_until(lambda: "connecting to office" in words.read_text())
    wait_until(lambda: not watchers(rlmaster))

    happen(there, "hello")
    wait_until(lambda: "note at 3: hello" in words.read_text())
    following.send_signal(signal.SIGINT)
    assert following.wait(30) == 130
    assert f"rlmaster follow {run.short_id} shows it again" in words.read_text()

    wait_until(lambda: watchers(rlmaster))
    end(there, run)


def test_who_follows_to_the_end_has_the_report(office, rlmaster):
    run, there = launch(rlmaster, office)
    words = rlmaster.scratch / "words"
    following = rlmaster.start("-m", "rlmaster", "follow", run.short_id, words=words)
    wait_until(lambda: "connecting to office" in words.read_text())

    quick_training.end(there)

    assert following.wait(60) == 0
    assert str(run.report_tex.with_suffix("")) in words.read_text()
    wait_until(lambda: not is_owed(run), 60)  # by whoever the rest was left to
    wait_until(lambda: not watchers(rlmaster))


def test_who_follows_is_told_that_nothing_comes(office, rlmaster):
    run, there = launch(rlmaster, office)
    arrives(there, run, "before")
    office.kill_sshd()
    wait_until(lambda: trouble(rlmaster, "office"), DETECTED_S)

    words = rlmaster.scratch / "words"
    rlmaster.start("-m", "rlmaster", "follow", run.short_id, words=words)
    wait_until(lambda: "office unreachable since" in words.read_text(), DETECTED_S)
    office.start_sshd()
    end(there, run)


def test_of_two_that_watch_one_takes_over_when_the_other_ends(office, rlmaster):
    run, there = launch(rlmaster, office)
    arrives(there, run, "before")
    first = rlmaster.start("-m", "rlmaster", "watch")
    lock = rlmaster.project / "runs" / ".state" / "watch.lock"
    wait_until(lambda: lock.read_bytes().startswith(b"shown"))
    words = rlmaster.scratch / "words"
    second = rlmaster.start("-m", "rlmaster", "watch", words=words)
    wait_until(lambda: "another `rlmaster watch`" in words.read_text())

    arrives(there, run, "by the first")
    first.kill()
    first.wait()
    wait_until(lambda: "office answers" in words.read_text(), DETECTED_S)
    arrives(there, run, "by the second")
    end(there, run)
    second.send_signal(signal.SIGINT)
    assert second.wait(20) == 130


def test_what_is_large_comes_after_the_end_and_before_the_run_is_settled(office, rlmaster):
    run, there = launch(rlmaster, office)
    (there.path / "videos").mkdir()
    with (there.path / "videos" / "episode.mp4").open("wb") as video:
        video.truncate(FIRST_BYTES + 1)

    end(there, run)

    assert (run.path / "videos" / "episode.mp4").stat().st_size == FIRST_BYTES + 1
