import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmaster.errors import TrainingError
from rlmaster.replay.frame_store import NO_ACTION, Episode, FrameStore

episode_lengths = st.lists(
    st.lists(st.integers(1, 7), min_size=1, max_size=4), min_size=1, max_size=3
)


def reference_rows(steps, actions):
    """Return the rows of each environment as a plain list of what was seen, done and followed."""
    streams = []
    for e in range(len(steps[0].reward)):
        rows = []
        for number, step in enumerate(steps):
            over = step.terminated[e] or step.truncated[e]
            action = NO_ACTION if over or number == len(actions) else actions[number][e]
            following = steps[number + 1] if number + 1 < len(steps) else None
            followed = [
                getattr(following, name)[e] if following else 0
                for name in ("reward", "terminated", "truncated", "life_lost")
            ]
            rows.append((step.observation[e], bool(step.episode_start[e]), action, *followed))
        streams.append(rows)
    return streams


@given(lengths=episode_lengths, num_rows=st.integers(1, 25), stacked=st.integers(1, 4))
def test_rows_stacks_and_episodes_equal_a_list(synthetic_steps, lengths, num_rows, stacked):
    steps = synthetic_steps(lengths, num_rows)
    actions = np.random.default_rng(0).integers(6, size=(num_rows - 1, len(lengths)))
    store = FrameStore(len(lengths), capacity_rows=num_rows, frame_shape=(2, 3))
    for number, step in enumerate(steps):
        store.append(step, actions[number] if number < num_rows - 1 else None)

    streams = reference_rows(steps, actions)
    for e, rows in enumerate(streams):
        indices = np.arange(num_rows) * len(lengths) + e
        stacks = np.stack([row[0] for row in rows])
        assert np.array_equal(store.stack_at(indices, stacked).numpy(), stacks[:, 4 - stacked :])
        assert np.array_equal(store.frames_at(indices).numpy(), stacks[:, -1:])
        kept = zip(
            store.episode_start[:, e],
            store.actions[:, e],
            store.rewards[:, e],
            store.terminated[:, e],
            store.truncated[:, e],
            store.life_lost[:, e],
            strict=True,
        )
        assert list(kept) == [row[1:] for row in rows]

    expected = []
    for e, rows in enumerate(streams):
        starts = [number for number, row in enumerate(rows) if row[1]]
        for start, stop in zip(starts, [*starts[1:], num_rows], strict=True):
            newest = steps[stop - 1]
            ended = bool(newest.terminated[e] or newest.truncated[e])
            expected.append(Episode(e, start, stop, ended))
    assert store.episodes() == expected
    assert store.num_steps == sum(row[2] != NO_ACTION for rows in streams for row in rows)


@given(
    lengths=episode_lengths,
    num_rows=st.integers(9, 25),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_whole_episodes_are_held_out(filled_store, lengths, num_rows, share, seed):
    store = filled_store(lengths, num_rows)
    if len(store.episodes()) < 2:
        return
    training, held_out = store.split_episodes(share, seed)
    assert training
    assert held_out
    assert sorted([*training, *held_out], key=store.episodes().index) == store.episodes()
    frames = sum(map(len, held_out))
    longest = max(map(len, held_out))
    assert frames - longest < share * store.num_frames
    assert frames >= share * store.num_frames or len(training) == 1
    assert store.split_episodes(share, seed) == (training, held_out)


def test_the_split_depends_on_its_seed(filled_store):
    store = filled_store([[3, 5], [4, 2]], 100)
    splits = {str(store.split_episodes(0.2, seed)) for seed in range(5)}
    assert len(splits) > 1


def test_one_episode_cannot_be_split(filled_store):
    with pytest.raises(TrainingError, match=r"1 episode cannot be split.*frames\.steps"):
        filled_store([[50]], 20).split_episodes(0.5, 1)


def test_frame_indices_name_each_frame_once(filled_store):
    store = filled_store([[3, 5], [4]], 40)
    indices = store.frame_indices(store.episodes())
    assert indices.dtype == np.int64
    assert sorted(indices.tolist()) == list(range(80))
    (chosen,) = (e for e in store.episodes() if e.environment == 1 and e.first_row == 5)
    assert store.frame_indices([chosen]).tolist() == [11, 13, 15, 17, 19]
    assert store.frame_indices([]).shape == (0,)


def test_a_full_store_says_so(synthetic_steps):
    store = FrameStore(1, capacity_rows=2, frame_shape=(2, 3))
    steps = synthetic_steps([[9]], 3)
    for step in steps[:2]:
        store.append(step, np.array([0]))
    with pytest.raises(TrainingError, match="full: it has room for 2 rows"):
        store.append(steps[2], np.array([0]))


def test_growing_keeps_every_row_and_its_index(filled_store):
    store, same = filled_store([[3], [4]], 30), filled_store([[3], [4]], 30)
    store.reserve(1000)
    store.reserve(10)
    assert store.capacity_rows == 1000
    indices = np.arange(60)
    assert np.array_equal(store.stack_at(indices), same.stack_at(indices))
    assert np.array_equal(store.actions[:30], same.actions)
    assert store.episodes() == same.episodes()


def test_a_row_takes_at_most_7_2_kb():
    store = FrameStore(4, capacity_rows=25)
    arrays = [value for value in vars(store).values() if isinstance(value, np.ndarray)]
    total = store.frames.nbytes + sum(array.nbytes for array in arrays)
    assert total / 100 <= 7200


@given(lengths=episode_lengths, capacity_rows=st.integers(2, 12), num_rows=st.integers(1, 40))
def test_a_ring_keeps_its_newest_rows_under_their_own_indices(
    synthetic_steps, lengths, capacity_rows, num_rows
):
    environments = len(lengths)
    ring = FrameStore(environments, capacity_rows=capacity_rows, frame_shape=(2, 3), ring=True)
    whole = FrameStore(environments, capacity_rows=num_rows, frame_shape=(2, 3))
    for row, step in enumerate(synthetic_steps(lengths, num_rows)):
        for store in (ring, whole):
            store.append(step, np.full(environments, row % 5))
    first = max(0, num_rows - capacity_rows)
    assert (ring.first_row, ring.num_rows) == (first, num_rows)
    indices = np.arange(first * environments, num_rows * environments)
    assert np.array_equal(ring.frames_at(indices), whole.frames_at(indices))
    assert ring.episodes() == [e for e in whole.episodes() if e.first_row >= first]
    kept_whole = indices[indices // environments >= first + 2]
    if len(kept_whole):
        one, other = (store.sequences_at(kept_whole, 3) for store in (ring, whole))
        for name, value in vars(one).items():
            assert np.array_equal(value, getattr(other, name)), name
    # What a longer stack would need and is forgotten is zero, never another frame.
    stacks = ring.stack_at(indices[-environments:], capacity_rows + 1)
    assert (stacks[:, 0] == 0).all() or first == 0
    for gone in (first * environments - 1, num_rows * environments):
        with pytest.raises(IndexError, match="are kept"):
            ring.frames_at(np.array([gone]))
