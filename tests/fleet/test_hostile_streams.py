"""What a host says when it is broken or means harm: its programs say whatever a test wants."""

import json
import os
import tracemalloc
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import make_run
from piped_host import piped_host, run_on_host, write_scripts_that_say
from waiting import wait_until

from rlmaster.errors import HostError, RlmasterError
from rlmaster.fleet.frames import FrameReader
from rlmaster.fleet.mirror import Change, HostMirror
from rlmaster.fleet.pull import pull
from rlmaster.fleet.run_files import MEBIBYTE, PULLED, Selection, rule_of
from rlmaster.fleet.told_status import read_told_status
from rlmaster.hosts import remote as remote_module
from rlmaster.hosts.remote import RemoteHost
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State, Status

pytestmark = pytest.mark.usefixtures("own_locks")

OUTSIDE = [
    "../escaped",
    "../../config.json",
    "/etc/passwd",
    "previews/../../x.png",
    "previews//x.png",
    "previews/./x.png",
    "previews/x.png/",
    "./log.txt",
    "log.txt\n",
    "log.txt\0",
    "previews/\x1b[2J.png",
    "previews/\u202egnp.png",
    "previews/.hidden.png",
    "previews/-rf.png",
    "tensorboard/" + "a/" * 9 + "tfevents",
    "tensorboard/" + "tfevents" * 40,
    "events",
    "",
]
OURS = [
    "run.json",
    "config.json",
    "rationale.md",
    "conclusion.md",
    "tags.json",
    "provenance.json",
    "placement.json",
    "requests/stop",
    "report/report.tex",
    "plots/loss.png",
    ".lock",
]


def frame(content: bytes = b"", **header: Any) -> bytes:
    """Return a frame; fields of the header may be anything."""
    sizes = {"size": len(content), "length": len(content)}
    return json.dumps({"number": 1, **sizes, **header}).encode() + b"\n" + content


class HostileHost:
    """A host whose programs say what a test wants."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._tmp_path, self._monkeypatch = tmp_path, monkeypatch

    def saying(self, said: bytes) -> RemoteHost:
        """Return it, connected."""
        folder = write_scripts_that_say(self._tmp_path / "scripts", said)
        self._monkeypatch.setattr(remote_module, "SCRIPTS", folder)
        return piped_host()

    def changes(self, run: RunFolder, said: bytes) -> list[Change]:
        """Return what a mirror makes of what it says."""
        changes: list[Change] = []
        with closing(HostMirror(self.saying(said), run.path.parents[1])) as mirror:
            mirror.track(run)
            wait_until(
                lambda: changes.extend(mirror.step(0.5)) or mirror.received_bytes >= len(said)
            )
        return changes


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostileHost:
    """A host that means harm."""
    return HostileHost(tmp_path, monkeypatch)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that is made on the host."""
    return run_on_host(tmp_path)[0]


# ------------------------------------------------------------------------------------- the mirror


@pytest.mark.parametrize("path", OUTSIDE + OURS)
@pytest.mark.parametrize("kind", ["append", "replace"])
def test_a_file_that_no_host_may_send_is_refused(tmp_path, host, run, path, kind):
    before = snapshot(tmp_path / "here")
    said = frame(b"{}", run=run.id, path=path, kind=kind, offset=0)
    (change,) = host.changes(run, said)
    assert f"run {run.short_id} is not mirrored from there" in change.trouble
    assert change.trouble.isprintable()
    assert snapshot(tmp_path / "here") == before


@pytest.mark.parametrize(
    "header",
    [
        {"path": "log.txt", "kind": "append", "offset": -1},
        {"path": "log.txt", "kind": "append", "offset": 2**62},
        {"path": "log.txt", "kind": "append", "offset": True},
        {"path": "log.txt", "kind": "append", "offset": "0"},
        {"path": "log.txt", "kind": "append", "offset": 64 * MEBIBYTE},
        {"path": "log.txt", "kind": "append"},
        {"path": "log.txt", "kind": "replace"},
        {"path": "progress.json", "kind": "append", "offset": 0},
        {"path": ["log.txt"], "kind": "append", "offset": 0},
        {"path": "previews/a.png", "kind": "replace"},
        {"path": "status.json", "kind": "replace"},
    ],
)
def test_a_frame_that_cannot_be_right_is_refused(tmp_path, host, run, header):
    before = snapshot(tmp_path / "here")
    (change,) = host.changes(run, frame(b"{}", run=run.id, **header))
    assert f"run {run.short_id} is not mirrored from there" in change.trouble
    assert snapshot(tmp_path / "here") == before


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"null", b"[" * 100_000, b'"\\ud800"'])
def test_json_that_would_trouble_its_readers_is_refused(host, run, content):
    said = frame(content, run=run.id, path="progress.json", kind="replace")
    (change,) = host.changes(run, said)
    assert "sends as progress.json what it cannot hold" in change.trouble
    assert not run.progress_file.exists()


def test_more_files_than_a_run_has_are_refused(host, run):
    names = [f"events/{'a' * n}.jsonl" for n in range(1, 12)]
    frames = [frame(b"{}\n", run=run.id, path=n, kind="append", offset=0) for n in names]
    changes = host.changes(run, b"".join(frames))
    assert "offers more or larger files than a run has" in changes[-1].trouble
    assert len(list((run.path / "events").iterdir())) <= 8


def test_one_bad_run_leaves_the_others_of_its_host_alone(tmp_path, host, run):
    other = make_run(tmp_path / "here" / "runs")
    said = frame(b"x", run=other.id, path="../x", kind="replace")  # nobody tracks that one
    said += frame(b"a line\n", run=run.id, path="log.txt", kind="append", offset=0)
    said += frame(b"old", run=run.id, number=0, path="log.txt", kind="append", offset=7)
    (change,) = host.changes(run, said)
    assert change.trouble == ""
    assert run.log_file.read_bytes() == b"a line\n"


NONSENSE = {
    "garbage": b"\x00\xff" * 100_000,
    "no object": b"[]\n",
    "no JSON": b"Welcome to office!\n",
    "deep": b"[" * 60_000 + b"\n",
    "endless line": b"{" * 2**20,
    "a gigabyte": frame(size=2**30, length=2**30),
    "negative": frame(size=-5, length=3),
    "larger than it says": frame(b"abc", length=2),
    "no number": frame(size="3", length=3),
    "bomb": frame(zlib.compress(bytes(2**30 // 8)), length=2 * MEBIBYTE),
    "packed badly": frame(b"abc", length=30),
    "packed short": frame(zlib.compress(b"a" * 100), length=300),
}


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE.keys())
def test_a_host_that_speaks_nonsense_is_left(tmp_path, host, run, said):
    before = snapshot(tmp_path / "here")
    with pytest.raises(HostError, match="office sends what was not asked for"):
        host.changes(run, said)
    assert snapshot(tmp_path / "here") == before


def test_what_unpacks_without_end_takes_no_room(host):
    bomb = zlib.compress(bytes(256 * MEBIBYTE))
    process = host.saying(frame(bomb, length=MEBIBYTE)).start_script("stream_script.py")
    with closing(process):
        reader = FrameReader(process, "office")
        tracemalloc.start()
        try:
            with pytest.raises(HostError):
                wait_until(lambda: reader.arrived(5.0) and False)
            _, most_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most_bytes < 16 * MEBIBYTE


@settings(max_examples=200)
@given(st.text() | st.from_regex(r"(previews|tensorboard)/.*", fullmatch=True))
def test_no_path_that_is_taken_leads_out_of_the_run_folder(path):
    if rule_of(path) or PULLED.fullmatch(path):
        assert os.path.normpath(path) == path
        assert not path.startswith(("/", ".."))
        assert path.isprintable()
        assert path not in OURS


# ------------------------------------------------------------------------------------- the status

GOOD = Status(State.RUNNING, attempt=2, reason="all is well").to_data()


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "dancing"},
        {"state": ["running"]},
        {"attempt": 0},
        {"attempt": "2"},
        {"attempt": True},
        {"attempt": 10**9},
        {"reason": ["x"]},
        {"reason": "x" * 5_000},
        {"heartbeat": 3},
        {"exit_code": "0"},
        {"exit_code": 1e3},
        {"signal": 10**12},
        {"answered": ["x" * 300_000]},
        {"announces": 1},
    ],
)
def test_a_status_with_a_field_that_cannot_be_right_is_none(changes):
    assert read_told_status(json.dumps({**GOOD, **changes}).encode()) is None


def test_a_status_is_taken_with_its_text_made_harmless():
    told = {**GOOD, "reason": "a\x1b[2Jb\nc\u202ed", "unknown": 1}
    status = read_told_status(json.dumps(told).encode())
    assert status == Status(State.RUNNING, attempt=2, reason="a [2Jb c d")


@given(
    st.binary()
    | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_whatever_comes_as_a_status_raises_nothing(content):
    assert read_told_status(content) is None


# --------------------------------------------------------------------------------------- pulling

LISTED = frame(kind="listed")


def listing(*entries: Any) -> bytes:
    """Return a listing of some files."""
    return frame(json.dumps(entries).encode(), kind="files") + LISTED


@pytest.mark.parametrize("path", [*OUTSIDE, *OURS, "status.json", "videos/../../x.mp4"])
def test_a_file_that_cannot_be_pulled_is_refused(tmp_path, host, run, path):
    before = snapshot(tmp_path / "here")
    remote = host.saying(listing(["videos/a.mp4", 3], [path, 3]))
    with pytest.raises(HostError, match="which no run has; nothing was fetched") as refusal:
        pull(remote, run, Selection.ALL)
    assert str(refusal.value).isprintable()
    assert snapshot(tmp_path / "here") == before


def data(content: bytes, path: str = "videos/a.mp4", offset: int = 0) -> bytes:
    """Return a piece of a file."""
    return frame(content, kind="data", path=path, offset=offset)


ANSWERS = {
    "no pair": listing(["videos/a.mp4"]),
    "no list": listing(3),
    "a size that is none": listing(["videos/a.mp4", "3"]),
    "a negative size": listing(["videos/a.mp4", -3]),
    "other bytes than asked for": listing(["videos/a.mp4", 3]) + data(b"abc", offset=1),
    "another file": listing(["videos/a.mp4", 3]) + data(b"abc", path="videos/b.mp4"),
    "more than there is": listing(["videos/a.mp4", 3]) + data(b"abcd"),
    "nothing, again and again": listing(["videos/a.mp4", 3]) + data(b""),
    "something else": listing(["videos/a.mp4", 3]) + frame(kind="files", path="videos/a.mp4"),
    "nonsense": b"Welcome!\n",
}


@pytest.mark.parametrize("said", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_cannot_be_right_ends_a_pull(host, run, said):
    remote = host.saying(said)
    with pytest.raises(HostError, match=r"answers something else|sends what was not asked for"):
        pull(remote, run, Selection.ALL)
    assert list(run.path.rglob("*.mp4")) == []


def test_a_file_that_is_larger_than_the_disk_is_refused_before_anything_is_fetched(host, run):
    remote = host.saying(listing(["videos/a.mp4", 2**59]))
    with pytest.raises(RlmasterError, match="GB are to come from office"):
        pull(remote, run, Selection.ALL)


def test_a_checksum_that_is_never_right_is_an_error(host, run):
    wrong = data(b"abc") + frame(kind="end", path="videos/a.mp4", sha256="0" * 64)
    remote = host.saying(listing(["videos/a.mp4", 3]) + wrong + wrong)
    with pytest.raises(HostError, match="does not arrive from office as it is there"):
        pull(remote, run, Selection.ALL)
    assert list(run.path.rglob("*.mp4")) == []
