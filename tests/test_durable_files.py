import json
import os
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmaster.durable_files import (
    append_line,
    read_json,
    read_lines,
    sync_tree,
    utc_now,
    write_atomically,
    write_json,
)

lines = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(allow_nan=False),
    max_size=4,
)


def whole_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@given(st.lists(lines, max_size=8))
def test_lines_come_back_in_order(objects):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.jsonl"
        for data in objects:
            append_line(path, data)

        found, offset = read_lines(path)

        assert found == objects
        assert offset == (path.stat().st_size if objects else 0)
        assert read_lines(path, offset) == ([], offset)


@given(st.lists(lines, min_size=1, max_size=6), st.data())
def test_a_reader_of_a_growing_stream_sees_each_line_once(objects, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.jsonl"
        for written in objects:
            append_line(path, written)
        content = path.read_bytes()
        cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=8).map(sorted))
        found, offset = [], 0
        for end in [*cuts, len(content)]:
            path.write_bytes(content[:end])  # as a mirror or a slow writer would leave it
            new, offset = read_lines(path, offset)
            found += new

    assert found == objects


@given(st.lists(st.tuples(lines, st.none() | st.integers(0, 200)), max_size=6))
def test_a_torn_line_costs_itself_and_nothing_else(writes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.jsonl"
        path.touch()
        expected = []
        for data, torn_at in writes:
            before = path.stat().st_size
            append_line(path, data)
            if torn_at is None:
                expected.append(data)
                continue
            written = path.read_bytes()[before:].lstrip(b"\n")
            kept = written[: min(torn_at, len(written) - 1)]
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size - len(written) + len(kept))
            if whole_object(kept):  # only its newline is missing
                expected.append(data)
        append_line(path, {"last": 1})

        assert read_lines(path)[0] == [*expected, {"last": 1}]


@given(st.binary() | st.just(b"[" * 100_000))
def test_garbage_is_passed_over(garbage):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.jsonl"
        path.write_bytes(garbage)
        append_line(path, {"after": True})

        found, offset = read_lines(path)

        assert found[-1] == {"after": True}
        assert all(isinstance(data, dict) for data in found)
        assert offset == path.stat().st_size


def test_a_stream_that_is_not_there_yet_is_empty(tmp_path):
    assert read_lines(tmp_path / "none.jsonl", 7) == ([], 7)


def test_many_writers_do_not_mix_their_lines(tmp_path):
    path = tmp_path / "stream.jsonl"
    append_line(path, {"writer": -1, "text": ""})

    def write(number: int) -> None:
        for _ in range(20):
            append_line(path, {"writer": number, "text": "x" * 5000})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = [data["writer"] for data in read_lines(path)[0]]
    assert sorted(found) == [-1, *sorted(list(range(8)) * 20)]


def test_a_reader_sees_the_old_content_or_the_new(tmp_path):
    path = tmp_path / "status.json"
    contents = [f"{number:04d}" * (1 + 3000 * (number % 5)) for number in range(200)]
    write_atomically(path, contents[0])
    written = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not written.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for content in contents:
        write_atomically(path, content)
    written.set()
    reader.join()

    assert seen <= set(contents)
    assert path.read_text() == contents[-1]
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "status.json"
    write_atomically(path, "old")

    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read_what_is_written(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "config.json", "{}", durable=True)
    finally:
        os.umask(before)

    assert (tmp_path / "config.json").stat().st_mode & 0o777 == mode


def test_every_file_and_folder_of_a_tree_is_synced(tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").touch()
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
    )

    sync_tree(tmp_path)

    assert sorted(synced) == [str(tmp_path), str(tmp_path / "inner"), str(tmp_path / "inner/file")]


def test_a_durable_line_is_whole_on_the_disk_when_it_is_synced(tmp_path, monkeypatch):
    synced: list[bytes] = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").read_bytes())
    )

    append_line(tmp_path / "stream.jsonl", {"a": 1})
    append_line(tmp_path / "stream.jsonl", {"b": 2}, durable=True)

    assert synced == [b'{"a": 1}\n{"b": 2}\n']


@given(lines)
def test_json_files_come_back(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.json"
        write_json(path, data)
        assert read_json(path) == data


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b'{"a": 1}x', b"[" * 100_000]
)
def test_a_damaged_json_file_reads_as_none(tmp_path, content):
    path = tmp_path / "data.json"
    path.write_bytes(content)

    assert read_json(path) is None
    assert read_json(tmp_path / "missing.json") is None
    assert read_json(path / "below-a-file.json") is None


def test_times_are_utc_and_can_be_counted_from():
    assert utc_now().endswith("+00:00")
    moment = datetime.fromisoformat(utc_now())
    assert timedelta(0) <= datetime.now(UTC) - moment < timedelta(seconds=5)
