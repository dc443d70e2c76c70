"""A replay that is saved and restored draws what it would have drawn."""

import json

import numpy as np
import pytest
import torch

from rlmaster.errors import RunFolderError, TrainingError
from rlmaster.replay import chunk_files
from rlmaster.replay.buffer import ReplayBuffer
from rlmaster.replay.frame_store import FrameStore
from rlmaster.replay.prioritised import Priorities

LENGTHS = [[5, 3], [9]]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunk_files, "FRAMES_PER_CHUNK", 12)


def empty(*, prioritised=True, capacity_rows=20):
    store = FrameStore(2, capacity_rows=capacity_rows, frame_shape=(2, 3), ring=True)
    return ReplayBuffer(
        store,
        clip_rewards=True,
        life_loss_is_terminal=True,
        seed=3,
        priorities=Priorities() if prioritised else None,
    )


def play(buffer, steps):
    for step in steps:
        row = buffer.store.num_rows
        buffer.append(step, np.array([row % 5, row % 3]))


def assert_draw_the_same(first, second):
    for n_step in (1, 3):
        one, other = first.sample(16, n_step), second.sample(16, n_step)
        for name, value in vars(one).items():
            assert torch.equal(value, getattr(other, name)), name
        first.update_priorities(one.index, one.reward.abs())
        second.update_priorities(other.index, other.reward.abs())
    one, other = first.sample_sequences(16, 6), second.sample_sequences(16, 6)
    for name, value in vars(one).items():
        assert torch.equal(value, getattr(other, name)), name


def through_a_file(state, folder):
    """A checkpoint is loaded without pickles."""
    torch.save(state, folder / "state.pt")
    return torch.load(folder / "state.pt", weights_only=True)


def chunk_names(folder):
    return sorted(file.name for file in folder.glob("chunk-*.npz"))


@pytest.mark.parametrize("prioritised", [False, True])
@pytest.mark.parametrize("num_rows", [12, 20, 21, 33, 57])
def test_a_restored_replay_draws_the_same_and_goes_on_the_same(
    synthetic_steps, tmp_path, prioritised, num_rows
):
    steps = synthetic_steps(LENGTHS, num_rows + 30)
    buffer = empty(prioritised=prioritised)
    play(buffer, steps[:num_rows])
    batch = buffer.sample(8)
    buffer.update_priorities(batch.index, torch.rand(8))
    buffer.save(tmp_path / "replay")
    state = through_a_file(buffer.state(), tmp_path)

    restored = empty(prioritised=prioritised)
    restored.restore(tmp_path / "replay", state)
    assert restored.num_transitions == buffer.num_transitions
    assert_draw_the_same(buffer, restored)
    for step in steps[num_rows:]:
        play(buffer, [step])
        play(restored, [step])
        assert_draw_the_same(buffer, restored)


def test_a_checkpoint_writes_only_what_is_new_and_what_is_too_old_can_go(synthetic_steps, tmp_path):
    steps = synthetic_steps(LENGTHS, 100)
    buffer, first_row = empty(), 0
    for stop in range(10, 100, 10):
        play(buffer, steps[stop - 10 : stop])
        before = {name: (tmp_path / name).stat().st_mtime_ns for name in chunk_names(tmp_path)}
        buffer.save(tmp_path)
        after = {name: (tmp_path / name).stat().st_mtime_ns for name in chunk_names(tmp_path)}
        assert after.items() > before.items()
        # The checkpoint before this one still needs its rows.
        buffer.expire(first_row)
        first_row = buffer.state()["first_row"]
        assert len(chunk_names(tmp_path)) <= 8
    restored = empty()
    restored.restore(tmp_path, buffer.state())
    assert_draw_the_same(buffer, restored)
    assert json.loads((tmp_path / "manifest.json").read_text())["chunks"][0]["first_row"] > 0


def test_what_was_sealed_after_the_checkpoint_is_forgotten(synthetic_steps, tmp_path):
    steps = synthetic_steps(LENGTHS, 60)
    buffer = empty()
    play(buffer, steps[:30])
    buffer.save(tmp_path)
    state = buffer.state()
    kept = chunk_names(tmp_path)
    play(buffer, steps[30:40])
    buffer.save(tmp_path)
    assert len(chunk_names(tmp_path)) > len(kept)

    restored, other = empty(), empty()
    restored.restore(tmp_path, state)
    assert chunk_names(tmp_path) == kept
    play(restored, steps[45:60])  # other steps than those that were forgotten
    restored.save(tmp_path)
    other.restore(tmp_path, restored.state())
    assert_draw_the_same(restored, other)


def test_rows_that_were_overwritten_before_they_were_sealed_are_not_missed(
    synthetic_steps, tmp_path
):
    buffer = empty()
    steps = synthetic_steps(LENGTHS, 90)
    play(buffer, steps[:10])
    buffer.save(tmp_path)
    play(buffer, steps[10:90])
    buffer.save(tmp_path)
    restored = empty()
    restored.restore(tmp_path, buffer.state())
    assert_draw_the_same(buffer, restored)
    loaded = FrameStore.load(tmp_path)
    assert (loaded.first_row, loaded.num_rows) == (70, 89)
    indices = np.arange(75 * 2, 89 * 2)
    assert torch.equal(loaded.stack_at(indices), buffer.store.stack_at(indices))
    assert loaded.episodes()[0].first_row == next(
        row for row in range(70, 90) if steps[row].episode_start[0]
    )


def test_a_replay_that_another_kind_of_device_had_draws_anew_and_repeatably(
    synthetic_steps, tmp_path
):
    buffer = empty()
    play(buffer, synthetic_steps(LENGTHS, 33))
    buffer.save(tmp_path / "replay")
    state = buffer.state() | {"generator": torch.zeros(16, dtype=torch.uint8)}  # as long as a GPU's
    first, second = empty(), empty()
    for restored in (first, second):
        restored.restore(tmp_path / "replay", state)
    assert_draw_the_same(first, second)
    assert not torch.equal(first.sample(16).index, empty_after(buffer, tmp_path).sample(16).index)


def empty_after(buffer, folder):
    """Return a replay restored from another's own state."""
    restored = empty()
    restored.restore(folder / "replay", buffer.state())
    return restored


def test_an_empty_replay_is_saved_and_restored(tmp_path, synthetic_steps):
    buffer, restored = empty(), empty()
    buffer.save(tmp_path)
    restored.restore(tmp_path, buffer.state())
    for one in (buffer, restored):
        play(one, synthetic_steps(LENGTHS, 40))
    assert_draw_the_same(buffer, restored)


@pytest.mark.parametrize("capacity_rows", [15, 30])
def test_a_replay_of_another_size_takes_all_rows_over_and_their_priorities(
    synthetic_steps, tmp_path, capacity_rows
):
    steps = synthetic_steps(LENGTHS, 60)
    buffer = empty()
    play(buffer, steps[:15])
    every = buffer.num_transitions
    index = buffer.sample(every).index.unique()
    buffer.update_priorities(index, 1 + torch.rand(len(index)))
    buffer.save(tmp_path)

    other = empty(capacity_rows=capacity_rows)
    other.restore(tmp_path, buffer.state())

    assert other.num_transitions == every
    leaves = [one._prioritised.tree.leaves for one in (buffer, other)]
    assert torch.equal(*(values[values > 0] for values in leaves))  # stream by stream, in rows
    play(other, steps[15:])
    assert other.store.first_row == 60 - capacity_rows
    assert other.sample(8).importance_weight.isfinite().all()


def test_what_does_not_fit_the_checkpoint_is_refused(synthetic_steps, tmp_path):
    buffer = empty()
    play(buffer, synthetic_steps(LENGTHS, 40))
    buffer.save(tmp_path)
    state = buffer.state()
    with pytest.raises(TrainingError, match="restored before anything is added"):
        buffer.restore(tmp_path, state)
    for other in (empty(prioritised=False), empty(capacity_rows=30)):
        with pytest.raises(TrainingError, match="keep the replay's settings"):
            other.restore(tmp_path, state)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["chunks"].pop()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunFolderError, match="does not hold the rows 20 to 38"):
        empty().restore(tmp_path, state)


class Killed(BaseException):
    """Nothing after it runs, as after SIGKILL."""


@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_save_that_is_killed_leaves_the_checkpoint_before_it(
    synthetic_steps, tmp_path, monkeypatch, write
):
    steps = synthetic_steps(LENGTHS, 60)
    buffer, same = empty(), empty()
    play(buffer, steps[:30])
    play(same, steps[:30])
    buffer.save(tmp_path)
    state = buffer.state()
    play(buffer, steps[30:45])
    with monkeypatch.context() as patched:
        _die_at_write(patched, write)
        with pytest.raises(Killed):
            buffer.save(tmp_path)

    restored = empty()
    restored.restore(tmp_path, state)
    assert_draw_the_same(restored, same)
    play(restored, steps[30:45])
    restored.save(tmp_path)
    assert FrameStore.load(tmp_path).num_rows == 44


@pytest.mark.parametrize("write", [1, 2])
def test_a_restore_that_is_killed_can_be_repeated(synthetic_steps, tmp_path, monkeypatch, write):
    steps = synthetic_steps(LENGTHS, 60)
    buffer, same = empty(), empty()
    play(buffer, steps[:30])
    play(same, steps[:30])
    buffer.save(tmp_path)
    state = buffer.state()
    play(buffer, steps[30:45])
    buffer.save(tmp_path)
    with monkeypatch.context() as patched:
        _die_at_write(patched, write)
        with pytest.raises(Killed):
            _restore_and_go_on(tmp_path, state, steps[30:50])
    restored = empty()
    restored.restore(tmp_path, state)
    assert_draw_the_same(restored, same)


def _restore_and_go_on(folder, state, steps):
    restored = empty()
    restored.restore(folder, state)
    play(restored, steps)
    restored.save(folder)


def _die_at_write(patched, number):
    """Let the n-th file from now on not be written."""
    left = list(range(number - 1))

    def dying(write):
        def write_or_die(*arguments, **options):
            if not left:
                raise Killed
            left.pop()
            write(*arguments, **options)

        return write_or_die

    for name in ("write_atomically", "write_json"):
        patched.setattr(chunk_files, name, dying(getattr(chunk_files, name)))
