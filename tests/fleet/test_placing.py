"""Placing folders on a host, by the real program there, over pipes."""

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from piped_host import piped_host
from small_disk import small_disk
from waiting import wait_until

from rlmaster.errors import HostError, RunFolderError
from rlmaster.fleet.parcel import Content, Parcel
from rlmaster.fleet.placing import Placed, Placing
from rlmaster.placement import machine
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import RunLock
from rlmaster.run_status import State, Status

NOISE = os.urandom(1_000_000)
"""It cannot be compressed, so what travels can be counted."""


def place(parcel: Parcel) -> Placed:
    with Placing(piped_host()) as placing:
        return placing.place(parcel)


def contents_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@dataclass(frozen=True)
class CutContent(Content):
    """Content during which the connection is cut, once some of it has arrived."""

    placing: Placing | None = None
    arrives_as: Path = Path()

    def blocks(self, offset):
        content = self.source[offset:]
        yield content[: len(content) // 2]
        wait_until(lambda: self.arrives_as.exists() and self.arrives_as.stat().st_size)
        self.placing._process.kill()
        yield content[len(content) // 2 :]


# ------------------------------------------------------------------------------------ folders


def test_a_folder_is_made_whole(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(NOISE)
    contents = [
        Content("a/b/noise", source),
        Content("empty", b""),
        Content("ünü $(x) 'y'\n", b"text" * 1000),
        Content("no utf-8 \udcff", b""),
    ]

    placed = place(Parcel(str(tmp_path / "there" / "folder"), contents, folders=("c/d",)))

    made = tmp_path / "there" / "folder"
    wanted = {
        "a/b/noise": NOISE,
        "empty": b"",
        "ünü $(x) 'y'\n": b"text" * 1000,
        "no utf-8 \udcff": b"",
    }
    assert contents_of(made) == wanted
    assert (made / "c" / "d").is_dir()
    assert len(NOISE) < placed.sent_bytes < len(NOISE) + 2000
    assert [path.name for path in made.parent.iterdir()] == ["folder"]


def test_a_folder_that_is_there_stays_as_it_is_and_counts_as_used(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    os.utime(target, (0, 0))

    placed = place(Parcel(str(target), [Content("a", NOISE)]))

    assert (placed.was_there, placed.sent_bytes) == (True, 0)
    assert contents_of(target) == {}
    assert target.stat().st_mtime > 0


def test_whether_a_folder_is_there_can_be_asked_without_reading_its_files(tmp_path):
    parcel = Parcel(str(tmp_path / "folder"), [Content("a", tmp_path / "gone")])

    with Placing(piped_host()) as placing:
        assert not placing.has(parcel)
        (tmp_path / "folder").mkdir()
        assert placing.has(parcel)


def test_one_program_makes_several_folders(tmp_path):
    with Placing(piped_host()) as placing:
        for name in ("a", "b"):
            placing.place(Parcel(str(tmp_path / name), [Content("name", name.encode())]))

    assert contents_of(tmp_path) == {"a/name": b"a", "b/name": b"b"}


def test_sending_says_how_far_it_is(tmp_path):
    said: list[tuple[int, int]] = []
    contents = [Content("a", NOISE), Content("b", b"text" * 100_000)]

    with Placing(piped_host()) as placing:
        placing.place(Parcel(str(tmp_path / "folder"), contents), lambda *far: said.append(far))

    assert {total for _, total in said} == {1_400_000}
    assert said == sorted(said)
    assert said[-1][0] == 1_400_000


def test_a_file_that_is_gone_is_said(tmp_path):
    parcel = Parcel(str(tmp_path / "folder"), [Content("a", tmp_path / "gone")])

    with pytest.raises(RunFolderError, match="gone cannot be read"):
        parcel.size_bytes()
    with pytest.raises(RunFolderError, match="gone cannot be read"):
        place(parcel)


@settings(max_examples=15)  # each starts the program anew
@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
        .filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
        .map(lambda name: f"in/{name}"),
        st.binary(max_size=2000),
        max_size=8,
    )
)
def test_whatever_is_sent_arrives_as_it_was(tmp_path_factory, files):
    target = tmp_path_factory.mktemp("any") / "folder"

    place(Parcel(str(target), [Content(name, content) for name, content in files.items()]))

    assert contents_of(target) == files


# --------------------------------------------------------------------------------------- cuts


def test_what_came_before_a_cut_is_not_sent_again(tmp_path):
    target, staging = tmp_path / "folder", tmp_path / ".incoming-folder"
    whole = Content("a", b"whole")
    with Placing(piped_host()) as placing:
        cut = CutContent("b", NOISE, placing=placing, arrives_as=staging / "b")
        with pytest.raises(HostError):
            placing.place(Parcel(str(target), [whole, cut]))
    arrived = (staging / "b").stat().st_size
    assert not target.exists()
    assert arrived > 0

    placed = place(Parcel(str(target), [whole, Content("b", NOISE)]))

    assert contents_of(target) == {"a": b"whole", "b": NOISE}
    assert placed.sent_bytes < len(NOISE) - arrived + 1000
    assert not staging.exists()


def test_what_is_left_of_another_try_is_not_taken_for_what_is_sent(tmp_path):
    staging = tmp_path / ".incoming-folder"
    (staging / "in").mkdir(parents=True)
    (staging / "in" / "other").write_bytes(b"nobody sends this any more")
    (staging / "same-size").write_bytes(b"XXXX")
    (staging / "longer").write_bytes(b"XXXXXXXX")
    (staging / "link").symlink_to("/etc/passwd")
    contents = [Content(name, b"text") for name in ("same-size", "longer", "link")]

    place(Parcel(str(tmp_path / "folder"), contents))

    assert contents_of(tmp_path / "folder") == dict.fromkeys(
        ("same-size", "longer", "link"), b"text"
    )
    assert not (tmp_path / "folder" / "link").is_symlink()


def test_a_wrong_beginning_is_noticed_and_sent_anew_the_next_time(tmp_path):
    (tmp_path / ".incoming-folder").mkdir()
    (tmp_path / ".incoming-folder" / "a").write_bytes(b"X")
    parcel = Parcel(str(tmp_path / "folder"), [Content("a", b"text")])

    with pytest.raises(RunFolderError, match="arrived on office with another content"):
        place(parcel)
    assert not (tmp_path / "folder").exists()
    place(parcel)

    assert contents_of(tmp_path / "folder") == {"a": b"text"}


def test_two_that_send_the_same_at_once_make_one_folder(tmp_path):
    parcel = Parcel(str(tmp_path / "folder"), [Content(str(i), NOISE) for i in range(8)])
    placed: list[Placed] = []
    threads = [threading.Thread(target=lambda: placed.append(place(parcel))) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(p.was_there for p in placed) == [False, True, True, True]
    assert sum(p.sent_bytes for p in placed) < 9 * len(NOISE)
    assert len(contents_of(tmp_path)) == 8


def test_a_file_that_shrinks_while_it_is_sent_is_said(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(NOISE)
    content = Content("a", source)
    assert content.size_bytes == len(NOISE)
    assert content.sha256
    source.write_bytes(b"")

    with pytest.raises(RunFolderError, match="was changed while it was sent; try again"):
        place(Parcel(str(tmp_path / "folder"), [content]))


@pytest.mark.system
def test_a_full_disk_is_a_sentence_and_what_has_come_stays(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, megabytes=4):
        parcel = Parcel(str(disk / "folder"), [Content(str(i), NOISE) for i in range(3)])
        filling = disk / "filling"
        filling.write_bytes(bytes(2_000_000))

        with pytest.raises(HostError, match=r"No space left on device; free some space"):
            place(parcel)
        filling.unlink()
        placed = place(parcel)

        assert set(contents_of(disk / "folder").values()) == {NOISE}
        assert placed.sent_bytes < 2.2 * len(NOISE)


# -------------------------------------------------------------------------------------- links


def test_what_is_there_already_is_linked_and_not_sent(tmp_path):
    there = tmp_path / "parent"
    there.write_bytes(NOISE)

    placed = place(Parcel(str(tmp_path / "folder"), [Content("a", NOISE, link=str(there))]))

    assert placed.sent_bytes == 0
    assert (tmp_path / "folder" / "a").samefile(there)


@pytest.mark.parametrize("other", [NOISE[:-1] + b"x", NOISE[:500], NOISE * 2, None])
def test_another_file_of_that_name_is_neither_linked_nor_changed(tmp_path, other):
    there = tmp_path / "parent"
    if other is not None:
        there.write_bytes(other)

    place(Parcel(str(tmp_path / "folder"), [Content("a", NOISE, link=str(there))]))

    assert contents_of(tmp_path / "folder") == {"a": NOISE}
    assert other is None or there.read_bytes() == other


def test_a_tree_there_becomes_part_of_the_folder(tmp_path):
    parent = tmp_path / "parent" / "replay"
    (parent / "in").mkdir(parents=True)
    (parent / "in" / "chunk").write_bytes(NOISE)
    (parent / "link").symlink_to("/etc/passwd")

    place(Parcel(str(tmp_path / "folder"), [], trees={"replay": str(parent)}))

    assert contents_of(tmp_path / "folder") == {"replay/in/chunk": NOISE}
    assert (tmp_path / "folder/replay/in/chunk").samefile(parent / "in" / "chunk")


def test_a_tree_that_is_gone_is_said(tmp_path):
    parcel = Parcel(str(tmp_path / "folder"), [], trees={"replay": str(tmp_path / "gone")})

    with pytest.raises(HostError, match="gone is not there any more"):
        place(parcel)


# --------------------------------------------------------------------------- earlier attempts


@pytest.fixture
def earlier(tmp_path, own_locks) -> RunFolder:
    """A folder of attempt 1, that has ended."""
    run = RunFolder(tmp_path / "pong" / "20260101-000000-abcdef")
    run.path.mkdir(parents=True)
    run.write_status(Status(State.STOPPED, attempt=1))
    return run


def next_attempt(run: RunFolder, attempt: int = 2) -> Parcel:
    contents = [Content("new", b"new")]
    return Parcel(str(run.path), contents, run_id=run.id, replace_below_attempt=attempt)


def test_the_folder_of_an_earlier_attempt_is_set_aside(earlier):
    place(next_attempt(earlier))

    assert contents_of(earlier.path) == {"new": b"new"}
    (aside,) = earlier.path.parent.glob(".superseded-*")
    assert RunFolder(aside).status().attempt == 1


def test_the_folder_of_the_same_attempt_stays(earlier):
    earlier.write_status(Status(State.RUNNING, attempt=2))

    assert place(next_attempt(earlier)).was_there


def test_a_folder_that_somebody_works_in_is_not_set_aside(earlier):
    with RunLock(earlier.id) as lock:
        assert lock.take()
        with pytest.raises(HostError, match="an earlier attempt of the run still works in"):
            place(next_attempt(earlier))

    assert earlier.status().attempt == 1


def test_a_folder_that_another_computer_works_in_is_not_set_aside(earlier):
    earlier.write_status(Status(State.RUNNING, attempt=1))
    where = {"machine": f"not-{machine()}", "computer": "attic"}
    earlier.placement_file.write_text(json.dumps(where))

    with pytest.raises(HostError, match="is a folder of attic too, where the run has not ended"):
        place(next_attempt(earlier))


# ------------------------------------------------------------------------------------ hostile


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a//b", ".", "a/.", "", "a\0b"])
def test_a_name_that_leads_out_is_refused_on_both_sides(tmp_path, name, monkeypatch):
    parcel = Parcel(str(tmp_path / "folder"), [Content(name, b"text")])

    with pytest.raises(RunFolderError, match="is no name of a file inside a folder"):
        place(parcel)
    monkeypatch.setattr(Parcel, "check_names", lambda parcel: None)
    with pytest.raises(HostError, match=r"office: .* is no name of a file inside a folder"):
        place(parcel)

    assert contents_of(tmp_path) == {}


@pytest.mark.parametrize("target", ["folder", "/tmp/../x"])
def test_a_target_must_be_a_whole_path(target):
    with pytest.raises(HostError, match="must be named by its whole path"):
        place(Parcel(target, []))


@pytest.mark.parametrize(
    "missing",
    ["[[1, 0]]", "[[0, 5]]", "[[0, -1]]", "[[0, 0], [0, 0]]", "[[0]]", "[0]", "7", '[["0", 0]]'],
)
def test_a_host_that_asks_for_what_nobody_sends_is_refused(answered, missing):
    with pytest.raises(HostError, match="asks for files that nobody wants to send"):
        answered(f'{{"missing": {missing}}}\n'.encode())


@pytest.mark.parametrize(
    ("says", "match"),
    [
        (b"garbage\n", "answered with something else than was asked"),
        (b'{"placed": 7}\n', "answered with something else than was asked"),
        (b"x" * 17 * 2**20, "answered with something else than was asked"),
        (b"", "the program that receives files there has ended"),
        (b'{"refused": "\\u001b[2Jno"}\n', r"office: .\[2Jno$"),
    ],
)
def test_nonsense_is_a_sentence(answered, says, match):
    with pytest.raises(HostError, match=match):
        answered(says)


@pytest.fixture
def answered(tmp_path, monkeypatch):
    """Send a file to a program that says something else than ours would."""

    def send(says: bytes) -> Placed:
        script = tmp_path / "script.py"
        (tmp_path / "says").write_bytes(says)
        script.write_text(
            "import sys, pathlib\n"
            "sys.stdin.buffer.readline()\n"  # what is asked, before it is answered
            f"sys.stdout.buffer.write(pathlib.Path({str(tmp_path / 'says')!r}).read_bytes())\n"
        )
        monkeypatch.setattr("rlmaster.fleet.placing.SCRIPT", str(script))
        return place(Parcel(str(tmp_path / "folder"), [Content("a", b"text")]))

    return send
