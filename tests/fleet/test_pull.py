"""Pulling files of a run from its host, whose program really runs here, over pipes."""

import hashlib
import json
import os
import random
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from piped_host import PipedConnection, PipedProcess, piped_host, place, run_on_host
from small_disk import small_disk
from waiting import wait_until

from rlmaster.errors import HostError, RunFolderError
from rlmaster.fleet import file_source
from rlmaster.fleet import pull as pull_module
from rlmaster.fleet.arriving_file import partial_name
from rlmaster.fleet.file_source import FileSource, RemoteFile, Wanted
from rlmaster.fleet.pull import PullProgress, list_files, pull
from rlmaster.fleet.run_files import Choice, Selection
from rlmaster.placement import machine
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import HostLock, lock_folder

pytestmark = pytest.mark.usefixtures("own_locks")

NAMED_AT_LAUNCH = ("run.json", "config.json", "provenance.json", "placement.json", "rationale.md")

noise = random.Random(1).randbytes


@pytest.fixture(autouse=True)
def progress_is_told_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test do something at each piece that has come."""
    monkeypatch.setattr(pull_module, "PROGRESS_EVERY_S", 0.0)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    """A run here, and what it has left on its host."""
    here, there = run_on_host(tmp_path)
    for path, content in left_behind().items():
        (there.path / path).parent.mkdir(parents=True, exist_ok=True)
        (there.path / path).write_bytes(content)
    return here, there


def left_behind() -> dict[str, bytes]:
    """Return what a run leaves, as files of no meaning but their names."""
    checkpoints = ["update-000000010", "update-000000020", "update-000000030", "best-000000020"]
    files = {
        f"checkpoints/{name}/{file}": noise(20_000)
        for name in checkpoints
        for file in ("networks.safetensors", "state.pt")
    }
    files |= {f"checkpoints/{name}/manifest.json": b'{"step": 1}' for name in checkpoints}
    files["checkpoints/update-000000040/state.pt"] = noise(100)  # it has no manifest yet
    files["checkpoints/best.json"] = b'{"checkpoint": "best-000000020"}'
    files |= {f"replay/chunk-00000{n}.npz": noise(300_000) for n in range(3)}
    files |= {"replay/manifest.json": b'{"chunks": 3}', "replay/source.json": b"{}"}
    files |= {"videos/held_out.mp4": noise(700_000), "tensors/first layer.safetensors": noise(10)}
    files |= {"previews/step-000000001.png": noise(5_000), "environment.json": b"{}"}
    files |= {"log.txt": b"a line\n" * 100, "attempts.jsonl": b"{}\n", "progress.json": b"{}"}
    files |= {"events/worker.jsonl": b"{}\n", "tensorboard/x.tfevents.1": noise(3_000)}
    files |= {"status.json": b'{"state": "completed"}', "run.json": b'{"theirs": true}'}
    files |= {"report/report.tex": b"theirs", "requests/stop": b"", "videos/.held_out.tmp": b"x"}
    return files


def files_of(run: RunFolder) -> dict[str, bytes]:
    """Return what there is of a run, but for what a launch writes."""
    found = {p.relative_to(run.path).as_posix(): p for p in run.path.rglob("*") if p.is_file()}
    return {n: path.read_bytes() for n, path in found.items() if n not in NAMED_AT_LAUNCH}


def started(remote: Any) -> PipedProcess:
    """Return the program that a host runs."""
    connection: PipedConnection = remote.connection
    return wait_until(lambda: connection.started and connection.started[-1])


EXPECTED = {
    Selection.END: r"(previews|videos|tensors)/.*|checkpoints/best.*",
    Selection.REPLAY: r"replay/.*",
    Selection.RESUME: r"(events|tensorboard|previews|replay)/.*|[a-z]+\.(txt|jsonl|json)|"
    r"checkpoints/(best.*|update-0000000[23]0/.*)",
    Selection.ALL: r".*",
}


@pytest.mark.parametrize("what", Selection)
def test_a_selection_brings_what_it_says_and_nothing_that_is_ours(runs, what):
    here, there = runs
    never = re.compile(r"status.json|run.json|report/.*|requests/.*|.*\.tmp")
    there_is = {n: c for n, c in files_of(there).items() if not never.fullmatch(n)}
    expected = {n: c for n, c in there_is.items() if re.fullmatch(EXPECTED[what], n)}
    pulled = pull(piped_host(), here, what)
    assert files_of(here) == expected
    assert set(pulled.fetched) == set(expected)
    assert here.run()["id"] == here.id


def test_patterns_choose_files_too(runs):
    here, _ = runs
    pull(piped_host(), here, ["checkpoints/update-000000010/*", "videos/**"])
    assert len(files_of(here)) == 4
    assert here.find_checkpoint("newest") is None  # whose checksums these are not


def test_what_is_here_does_not_come_again(runs):
    here, _ = runs
    pull(piped_host(), here, Selection.ALL)
    (here.videos / "held_out.mp4").write_bytes(noise(700_000))  # of the same size
    (here.replay / "chunk-000001.npz").unlink()
    remote = piped_host()
    pulled = pull(remote, here, Selection.ALL)
    assert set(pulled.fetched) == {"videos/held_out.mp4", "replay/chunk-000001.npz"}
    assert pulled.fetched_bytes == 1_000_000
    assert remote.connection.received_bytes < 1_020_000  # type: ignore[attr-defined]
    assert len(pulled.unchanged) == len(files_of(here)) - 2


def test_a_file_that_was_cut_goes_on_where_it_was(runs):
    here, there = runs
    content = (there.videos / "held_out.mp4").read_bytes()
    here.videos.mkdir()
    (here.videos / ".held_out.mp4.partial").write_bytes(content[:600_001])
    pulled = pull(piped_host(), here, Selection.END)
    assert files_of(here)["videos/held_out.mp4"] == content
    assert pulled.fetched_bytes < 200_000
    assert not list(here.path.rglob(".*.partial"))


def test_a_beginning_that_is_damaged_comes_once_more(runs):
    here, there = runs
    here.videos.mkdir()
    (here.videos / ".held_out.mp4.partial").write_bytes(noise(600_000))
    pulled = pull(piped_host(), here, ["videos/*"])
    assert files_of(here)["videos/held_out.mp4"] == (there.videos / "held_out.mp4").read_bytes()
    assert pulled.fetched_bytes == 800_000


def test_a_pull_whose_program_is_killed_goes_on_with_the_next(runs):
    here, there = runs
    (there.videos / "held_out.mp4").write_bytes(noise(4_000_000))
    remote = piped_host()

    def kill(progress: PullProgress) -> None:
        if progress.path == "videos/held_out.mp4" and progress.done_bytes > 2_000_000:
            started(remote).kill()

    with pytest.raises(HostError, match="what sends files on office has ended"):
        pull(remote, here, ["videos/*"], kill)
    kept = (here.videos / ".held_out.mp4.partial").stat().st_size
    assert 0 < kept < 4_000_000
    pulled = pull(piped_host(), here, ["videos/*"])
    assert pulled.fetched_bytes == 4_000_000 - kept
    assert files_of(here) == {"videos/held_out.mp4": (there.videos / "held_out.mp4").read_bytes()}


def test_progress_goes_up_to_all_there_is(runs):
    here, _ = runs
    told: list[PullProgress] = []
    pull(piped_host(), here, Selection.REPLAY, told.append)
    done = [progress.done_bytes for progress in told]
    assert done == sorted(done)
    assert done[-1] == told[-1].total_bytes == 900_002
    assert "replay/chunk-000001.npz" in {progress.path for progress in told}


def test_small_files_come_first_and_what_is_too_much_does_not(runs):
    here, _ = runs
    pulled = pull(piped_host(), here, Selection.END, most_bytes=60_000)
    assert pulled.left_out == ("videos/held_out.mp4",)
    assert "checkpoints/best.json" in pulled.fetched
    pulled = pull(piped_host(), here, Selection.END, most_bytes=6_000)
    assert "checkpoints/best.json" in pulled.unchanged + pulled.left_out


def test_what_names_others_does_not_come_without_them(runs):
    here, _ = runs
    pulled = pull(piped_host(), here, Selection.REPLAY, most_bytes=600_000)
    assert not (here.replay / "manifest.json").exists()
    assert "replay/manifest.json" in pulled.left_out
    pull(piped_host(), here, Selection.REPLAY)
    assert (here.replay / "manifest.json").exists()


def test_a_file_that_grows_comes_up_to_where_it_was_when_it_was_listed(runs):
    here, there = runs
    remote = piped_host()
    growing = there.log_file.open("ab")

    def grow(_: PullProgress) -> None:
        growing.write(b"x" * 10_000)
        growing.flush()

    with growing:
        pulled = pull(remote, here, ["log.txt", "videos/*"], grow)
    assert set(pulled.fetched) == {"log.txt", "videos/held_out.mp4"}
    assert here.log_file.read_bytes() == b"a line\n" * 100


def test_a_file_that_vanishes_meanwhile_is_said_and_the_others_come(runs):
    here, there = runs
    victim = there.videos / "z.mp4"
    victim.write_bytes(noise(1_000_000))

    def remove(progress: PullProgress) -> None:
        if progress.done_bytes:
            victim.write_bytes(noise(1_000_001 + progress.done_bytes))

    pulled = pull(piped_host(), here, ["videos/*"], remove)
    assert pulled.missed == ("videos/z.mp4",)
    assert files_of(here) == {"videos/held_out.mp4": (there.videos / "held_out.mp4").read_bytes()}


def test_a_full_disk_here_is_one_sentence_and_keeps_what_has_come(runs):
    here, there = runs
    (there.videos / "held_out.mp4").write_bytes(noise(3_000_000))
    here.videos.mkdir()
    with small_disk(here.videos, megabytes=2):
        with pytest.raises(RunFolderError, match=r"No space left.*it goes on where it was cut"):
            pull(piped_host(), here, ["videos/*"])
        kept = (here.videos / ".held_out.mp4.partial").stat().st_size
    assert 0 < kept < 2_100_000


def test_nothing_is_written_through_a_link(runs, tmp_path):
    here, _ = runs
    (tmp_path / "outside").mkdir()
    here.videos.symlink_to(tmp_path / "outside")
    with pytest.raises(RunFolderError, match="cannot be written"):
        pull(piped_host(), here, ["videos/*"])
    assert list((tmp_path / "outside").iterdir()) == []


def test_links_and_devices_there_are_passed_over(runs):
    here, there = runs
    (there.videos / "link.mp4").symlink_to("/etc/passwd")
    os.mkfifo(there.videos / "pipe.mp4")
    (there.tensors / "folder").symlink_to("/etc")
    pulled = pull(piped_host(), here, ["videos/**", "tensors/**"])
    assert set(pulled.fetched) == {"videos/held_out.mp4", "tensors/first layer.safetensors"}


def test_a_run_that_is_here_has_nothing_to_pull(runs):
    here, _ = runs
    place(here, here.path, machine=machine())
    with pytest.raises(RunFolderError, match="is made here"):
        pull(piped_host(), here, Selection.ALL)


def test_two_pulls_of_a_run_wait_for_each_other(runs, monkeypatch):
    here, _ = runs
    monkeypatch.setattr(pull_module, "WAIT_S", 0.0)
    with HostLock(lock_folder() / f"{here.id}.pull") as lock:
        assert lock.take()
        with pytest.raises(RunFolderError, match="another command pulls files"):
            pull(piped_host(), here, Selection.ALL)
    monkeypatch.setattr(pull_module, "WAIT_S", 20.0)
    first = threading.Thread(target=pull, args=(piped_host(), here, Selection.ALL))
    first.start()
    pull(piped_host(), here, Selection.ALL)
    first.join()
    assert not list(here.path.rglob(".*.partial"))


def test_a_listing_tells_size_and_checksum(runs):
    _, there = runs
    plain = list_files(piped_host(), str(there.path), ["replay/**"])
    assert [file.path for file in plain] == sorted(file.path for file in plain)
    assert {file.sha256 for file in plain} == {""}
    hashed = list_files(piped_host(), str(there.path), ["replay/**"], hashed=True)
    expected = {
        f"replay/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in there.replay.iterdir()
    }
    assert {file.path: file.sha256 for file in hashed} == expected


def test_a_folder_that_is_not_there_has_no_files(tmp_path):
    assert list_files(piped_host(), str(tmp_path / "nowhere"), Selection.ALL) == []


def test_the_newest_checkpoints_are_those_of_the_highest_step():
    names = [f"checkpoints/update-{n:09d}" for n in (5, 900, 1000, 999_999_999_999)]
    paths = [f"{name}/{file}" for name in names for file in ("state.pt", "manifest.json")]
    chosen = Choice((), newest=2).pick([*paths, "checkpoints/update-2/state.pt"], "")
    assert {path.split("/")[1] for path in chosen} == {"update-000001000", "update-999999999999"}


def test_a_program_there_does_not_outlive_those_who_ask(runs):
    _, there = runs
    remote = piped_host()
    list_files(remote, str(there.path), Selection.ALL)
    assert not Path(f"/proc/{started(remote).pid}").exists()


def test_a_program_there_ends_where_nobody_takes_what_it_says(runs, monkeypatch):
    monkeypatch.setattr(file_source, "FORGOTTEN_S", 1)
    _, there = runs
    remote = piped_host()
    with FileSource(remote, str(there.path)) as source:
        fetched = source.fetch([Wanted(RemoteFile("videos/held_out.mp4", 700_000), 0, True)])
        next(fetched)
        wait_until(lambda: started(remote).has_ended)


def test_a_partial_file_is_hidden_beside_its_place():
    assert partial_name("videos/a.mp4") == "videos/.a.mp4.partial"
    assert partial_name("log.txt") == ".log.txt.partial"
    assert json.loads(left_behind()["checkpoints/best.json"])
