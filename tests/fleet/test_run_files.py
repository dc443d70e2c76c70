"""Which files of a run come from its host."""

from pathlib import Path

import pytest

from rlmaster.fleet.contained_files import append_at, open_file, overwrite, replace_file
from rlmaster.fleet.run_files import (
    Choice,
    best_name,
    order_of,
    rule_of,
    shown_name,
    strange_files,
)


@pytest.mark.parametrize(
    ("path", "grows"),
    [
        ("status.json", False),
        ("progress.json", False),
        ("environment.json", False),
        ("attempts.jsonl", True),
        ("log.txt", True),
        ("events/worker.jsonl", True),
        ("events/training.jsonl", True),
        ("previews/step-000000120.png", False),
        ("tensorboard/events.out.tfevents.1790000000.gpu1.example.org.77.0", True),
        ("tensorboard/images/events.out.tfevents.1790000000.gpu1.77.0", True),
        ("announced/failed-attempt-2 push-ntfy-ntfy.sh", False),
        ("announced/diverged-300-20261123T101010.123456 push-json-...-2", False),
    ],
)
def test_what_a_run_writes_is_mirrored(path, grows):
    rule = rule_of(path)
    assert rule is not None
    assert rule.grows is grows


def test_stars_stay_within_a_folder_and_two_stars_do_not():
    paths = ["a.txt", "b/a.txt", "b/c/a.txt", "b.txt/a"]
    assert Choice(("*.txt",)).pick(paths, "") == ["a.txt"]
    assert Choice(("b/*",)).pick(paths, "") == ["b/a.txt"]
    assert Choice(("b/**",)).pick(paths, "") == ["b/a.txt", "b/c/a.txt"]
    assert Choice(("[ab].txt",)).pick(paths, "") == []


@pytest.mark.parametrize("counted", ["update", "step"])
def test_the_newest_checkpoints_are_wanted_whatever_their_names_count(counted):
    names = [f"{counted}-{step:09}" for step in (9, 20, 100)] + ["best-000000020", "other-7"]
    paths = [f"checkpoints/{name}/manifest.json" for name in names]
    assert Choice((), newest=2).pick(paths, "") == [paths[2], paths[1]][::-1]
    assert Choice((), best=True).pick(paths, "best-000000020") == [paths[3]]


@pytest.mark.parametrize(
    "pointer",
    [b"", b"[]", b"{}", b'{"checkpoint": 3}', b'{"checkpoint": "../x"}', b"[" * 100_000],
)
def test_a_best_checkpoint_that_has_no_name_is_none(pointer):
    assert best_name(pointer) == ""


def test_files_come_small_ones_first_and_those_that_name_others_last():
    sizes = {"replay/manifest.json": 10, "videos/a.mp4": 500, "log.txt": 20, "b/best.json": 1}
    ordered = sorted(sizes, key=lambda path: order_of(path, sizes[path]))
    assert ordered == ["log.txt", "videos/a.mp4", "b/best.json", "replay/manifest.json"]


def test_a_name_is_shown_so_that_it_moves_nothing():
    shown = shown_name("a\x1b[2J\n\u202e" + "b" * 1_000)
    assert shown.isprintable()
    assert shown.isascii()
    assert len(shown) < 150


# ---------------------------------------------------------------------- writing inside a folder


def test_no_link_on_the_way_is_followed(tmp_path: Path):
    outside, base = tmp_path / "outside", tmp_path / "base"
    outside.mkdir()
    base.mkdir()
    (outside / "file").write_bytes(b"theirs")
    (base / "folder").symlink_to(outside)
    (base / "file").symlink_to(outside / "file")
    for path in ("folder/file", "folder/new", "file"):
        for write in (
            lambda path: append_at(base, path, 0, b"x"),
            lambda path: overwrite(base, path, b"x"),
            lambda path: open_file(base, path, 0),
        ):
            with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
                write(path)
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        replace_file(base, "folder/file", b"x")
    replace_file(base, "file", b"ours")  # the link goes, not what it leads to
    assert (outside / "file").read_bytes() == b"theirs"
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (base / "file").read_bytes() == b"ours"


def test_an_append_that_does_not_fit_changes_nothing(tmp_path: Path):
    assert append_at(tmp_path, "a/b/log.txt", 0, b"abc")
    assert not append_at(tmp_path, "a/b/log.txt", 2, b"x")
    assert not append_at(tmp_path, "a/b/log.txt", 4, b"x")
    assert append_at(tmp_path, "a/b/log.txt", 3, b"def")
    assert (tmp_path / "a/b/log.txt").read_bytes() == b"abcdef"
    assert append_at(tmp_path, "a/b/log.txt", 0, b"anew")
    assert (tmp_path / "a/b/log.txt").read_bytes() == b"anew"


def test_a_replacement_that_fails_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "progress.json").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path, "progress.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_what_a_run_took_along_is_no_strange_file():
    taken = [f"{folder}/networks.safetensors" for folder in ("encoder", "policy")]
    known = ["run.json", *taken, "replay/chunk-000000.npz"]
    assert strange_files([*known, "notes.txt"]) == ["notes.txt"]
