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
