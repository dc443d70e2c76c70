import json

import numpy as np
import pytest
import torch

from rlmaster.errors import RunFolderError
from rlmaster.replay.frame_store import NO_ACTION, FrameStore

LENGTHS = [[30, 7], [100], [2, 300]]
ROWS = 3000


def assert_equal(first, second):
    assert first.num_rows == second.num_rows
    filled = slice(0, first.num_rows)
    assert torch.equal(first.frames[filled], second.frames[filled])
    for name in ("actions", "rewards", "terminated", "truncated", "life_lost", "episode_start"):
        assert np.array_equal(getattr(first, name)[filled], getattr(second, name)[filled])


def chunk_bytes(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.glob("chunk-*.npz"))}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "replay"


@pytest.fixture
def saved(filled_store, folder):
    store = filled_store(LENGTHS, ROWS)
    store.save(folder)
    return store


def test_a_store_comes_back_bit_for_bit(saved, folder):
    told = []
    loaded = FrameStore.load(folder, on_progress=lambda *progress: told.append(progress))
    assert_equal(loaded, saved)
    assert loaded.episodes() == saved.episodes()
    assert len(chunk_bytes(folder)) == 3
    assert told == [(1365, ROWS), (2730, ROWS), (ROWS, ROWS)]


def test_chunks_are_read_by_numpy_alone_and_are_reproducible(saved, folder, filled_store):
    with np.load(folder / "chunk-000001.npz") as chunk:
        assert np.array_equal(chunk["frames"], saved.frames[1365:2730])
        assert np.array_equal(chunk["rewards"], saved.rewards[1365:2730])
    again = folder.parent / "again"
    filled_store(LENGTHS, ROWS).save(again)
    assert chunk_bytes(again) == chunk_bytes(folder)
    assert (again / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()


@pytest.mark.parametrize("reload", [False, True])
def test_a_later_save_only_adds_chunks(synthetic_steps, folder, reload):
    steps = synthetic_steps(LENGTHS, ROWS)
    store = FrameStore(3, capacity_rows=ROWS, frame_shape=(2, 3))
    actions = np.arange(3)
    for step in steps[:1000]:
        store.append(step, actions)
    store.save(folder)
    early = chunk_bytes(folder)

    if reload:
        store = FrameStore.load(folder)
        assert store.num_rows == 999  # what followed the thousandth row was not known yet
        store.reserve(ROWS)
    for step in steps[store.num_rows :]:
        store.append(step, actions)
    store.save(folder)

    assert chunk_bytes(folder).items() > early.items()
    loaded = FrameStore.load(folder)
    assert loaded.num_rows == ROWS - 1
    store.num_rows -= 1
    assert_equal(loaded, store)


def test_a_store_replaces_what_another_one_left(saved, folder, filled_store):
    other = filled_store([[5]], 40)
    other.save(folder)
    assert_equal(FrameStore.load(folder), other)
    assert len(chunk_bytes(folder)) == 1


def test_an_interrupted_save_leaves_no_manifest(filled_store, folder):
    def interrupt(done, total):
        raise KeyboardInterrupt

    store = filled_store(LENGTHS, ROWS)
    with pytest.raises(KeyboardInterrupt):
        store.save(folder, on_progress=interrupt)
    assert chunk_bytes(folder)
    with pytest.raises(RunFolderError, match=r"no whole replay.*not finished collecting"):
        FrameStore.load(folder)
    store.save(folder)
    assert_equal(FrameStore.load(folder), store)


def test_a_save_that_fails_keeps_what_was_sealed(synthetic_steps, folder):
    store = FrameStore(1, capacity_rows=20, frame_shape=(2, 3))
    for step in synthetic_steps([[5]], 20):
        store.append(step, np.array([0]))
        if store.num_rows == 10:
            store.save(folder)
    (folder / "chunk-000001.npz").mkdir()
    with pytest.raises(RunFolderError, match="cannot write the replay"):
        store.save(folder)
    assert FrameStore.load(folder).num_rows == 9


def test_a_damaged_chunk_is_named(saved, folder):
    file = folder / "chunk-000001.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"chunk-000001\.npz is damaged"):
        FrameStore.load(folder)
    file.unlink()
    with pytest.raises(RunFolderError, match=r"chunk-000001\.npz cannot be read"):
        FrameStore.load(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema_version": 2}, "has replay version 2, this program reads 1"),
        ({"chunks": [{"file": "x"}]}, "damaged"),
        ({"frame_shape": None}, "damaged"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_explained(saved, folder, change, sentence):
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(RunFolderError, match=sentence):
        FrameStore.load(folder)


def test_nothing_collected_is_saved_and_loaded_too(folder):
    FrameStore(2, frame_shape=(2, 3)).save(folder)
    loaded = FrameStore.load(folder)
    assert (loaded.num_rows, loaded.episodes()) == (0, [])


def test_the_last_rows_are_sealed_once_the_recording_has_ended(saved, folder):
    assert (saved.actions[-1] == NO_ACTION).all()
    assert FrameStore.load(folder).num_rows == ROWS


def test_whole_chunks_are_sealed_while_rows_are_added(synthetic_steps, folder, filled_store):
    store = FrameStore(3, capacity_rows=ROWS, frame_shape=(2, 3))
    generator, whole = np.random.default_rng(0), []
    steps = synthetic_steps(LENGTHS, ROWS)
    for step in steps[:-1]:
        store.append(step, generator.integers(6, size=3))
        if store.whole_chunk_rows > (whole[-1] if whole else 0):
            whole.append(store.whole_chunk_rows)
            assert store.num_rows == whole[-1] + 1  # what followed its last row is known now
            store.save(folder, stop_row=whole[-1])
    store.append(steps[-1], None)
    store.save(folder)
    assert whole == [1365, 2730]
    at_once = folder.parent / "at once"
    filled_store(LENGTHS, ROWS).save(at_once)
    assert chunk_bytes(folder) == chunk_bytes(at_once)
    assert (folder / "manifest.json").read_bytes() == (at_once / "manifest.json").read_bytes()


@pytest.mark.parametrize("damage", ["flipped", "missing"])
@pytest.mark.parametrize(("number", "rows_left"), [(0, 0), (1, 1365), (2, 2730)])
def test_a_store_that_ends_before_a_damaged_chunk_is_filled_and_saved_again(
    saved, folder, damage, number, rows_left
):
    before, lost = chunk_bytes(folder), []
    file = folder / f"chunk-00000{number}.npz"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    store = FrameStore.load(folder, capacity_rows=ROWS, on_damage=lost.append)
    assert store.num_rows == rows_left
    assert store.capacity_rows == ROWS
    assert [(chunk.file, chunk.first_row) for chunk in lost] == [(file.name, rows_left)]
    store.keep_rows(rows_left, saved.rows_between(rows_left, ROWS))
    store.num_rows = ROWS
    store.save(folder)
    assert chunk_bytes(folder) == before
    assert_equal(FrameStore.load(folder), saved)


def test_what_a_killed_save_left_half_written_is_removed_by_the_next(folder, filled_store):
    folder.mkdir(parents=True)
    (folder / ".chunk-000000.npz.1234.tmp").write_bytes(b"half")
    filled_store(LENGTHS, 40).save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["chunk-000000.npz", "manifest.json"]
