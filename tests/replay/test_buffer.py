"""The replay against a list: every sampled element, whatever the episodes, the ring, the steps."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from gpu_stand_in import DEVICES, STAND_IN, ring, without_waiting
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_replay import SlowReplay

from rlmaster.errors import TrainingError
from rlmaster.replay.buffer import ReplayBuffer
from rlmaster.replay.frame_store import FrameStore
from rlmaster.replay.prioritised import Priorities

FRAME_SHAPE = (2, 3)

episode_lengths = st.lists(
    st.lists(st.integers(1, 7), min_size=1, max_size=4), min_size=1, max_size=3
)


@dataclass(frozen=True)
class Kind:
    """What a replay is asked to be."""

    capacity_rows: int = 12
    stacked_frames: int = 4
    clip_rewards: bool = False
    life_loss_is_terminal: bool = False
    prioritised: bool = False
    exponent: float = 1.0
    seed: int = 0
    device: str = "cpu"


def empty(kind: Kind, num_environments: int) -> ReplayBuffer:
    store = ring(num_environments, kind.capacity_rows, FRAME_SHAPE, kind.device)
    return ReplayBuffer(
        store,
        stacked_frames=kind.stacked_frames,
        clip_rewards=kind.clip_rewards,
        life_loss_is_terminal=kind.life_loss_is_terminal,
        seed=kind.seed,
        priorities=Priorities(kind.exponent) if kind.prioritised else None,
    )


def slow(kind: Kind, num_environments: int) -> SlowReplay:
    return SlowReplay(
        num_environments,
        capacity_rows=kind.capacity_rows,
        stacked_frames=kind.stacked_frames,
        clip_rewards=kind.clip_rewards,
        life_loss_is_terminal=kind.life_loss_is_terminal,
    )


def play(replays, steps, *, end=False, seed=0):
    generator = np.random.default_rng(seed)
    for number, step in enumerate(steps):
        actions = generator.integers(6, size=len(step.reward))
        for replay in replays:
            replay.append(step, None if end and number == len(steps) - 1 else actions)


def assert_batch_is(batch, reference, n_step, discount):
    transitions = set(reference.transitions())
    for number, index in enumerate(batch.index.tolist()):
        assert index in transitions
        expected = reference.transition(index, n_step, discount)
        assert np.array_equal(batch.observation[number].cpu(), expected.observation)
        assert np.array_equal(batch.next_observation[number].cpu(), expected.next_observation)
        assert batch.action[number] == expected.action
        assert batch.reward[number].item() == pytest.approx(expected.reward, abs=1e-5)
        assert batch.discount[number].item() == pytest.approx(expected.discount, abs=1e-6)


def check_transitions(kind, lengths, steps, n_step):
    buffer, reference = empty(kind, len(lengths)), slow(kind, len(lengths))
    play([buffer, reference], steps)
    count = len(reference.transitions())
    assert buffer.num_transitions == count
    rows = len(reference.steps) - 1 - reference.oldest_row(kind.stacked_frames)
    if count == 0 or n_step > rows:
        with pytest.raises(TrainingError, match="collect"):
            buffer.sample(1, n_step)
        return
    drawn = set()
    for _ in range(-(-60 // count)):
        batch = buffer.sample(count, n_step, 0.9)
        assert_batch_is(batch, reference, n_step, 0.9)
        drawn |= set(batch.index.tolist())
        buffer.update_priorities(batch.index, torch.rand(count) + 0.1)
    assert drawn <= set(reference.transitions())


kinds = st.builds(
    Kind,
    capacity_rows=st.integers(6, 20),
    stacked_frames=st.sampled_from([1, 4]),
    clip_rewards=st.booleans(),
    life_loss_is_terminal=st.booleans(),
    prioritised=st.booleans(),
    seed=st.integers(0, 99),
    device=st.sampled_from(["cpu", STAND_IN]),
)


@settings(max_examples=150, deadline=None)
@given(
    kind=kinds,
    lengths=episode_lengths,
    num_rows=st.integers(1, 45),
    n_step=st.sampled_from([1, 2, 3]),
)
def test_every_sampled_transition_is_that_of_a_list(
    synthetic_steps, kind, lengths, num_rows, n_step
):
    check_transitions(kind, lengths, synthetic_steps(lengths, num_rows), n_step)


@settings(max_examples=80, deadline=None)
@given(
    kind=kinds,
    lengths=episode_lengths,
    num_rows=st.integers(1, 45),
    length=st.integers(1, 8),
    end=st.booleans(),
)
def test_every_sampled_sequence_is_that_of_a_list(
    synthetic_steps, kind, lengths, num_rows, length, end
):
    buffer, reference = empty(kind, len(lengths)), slow(kind, len(lengths))
    play([buffer, reference], synthetic_steps(lengths, num_rows), end=end)
    frames = {
        reference.steps[row].observation[e, -1].tobytes(): row * len(lengths) + e
        for row in range(num_rows)
        for e in range(len(lengths))
    }
    offered = reference.sequences(length)
    if not offered:
        with pytest.raises(TrainingError, match="collect more"):
            buffer.sample_sequences(1, length)
        return
    batch = buffer.sample_sequences(len(offered), length)
    for b in range(len(offered)):
        index = frames[batch.frames[b, -1].numpy().tobytes()]
        assert index in offered
        fields = zip(*reference.sequence(index, length), strict=True)
        expected_frames, actions, rewards, terminated, truncated, mask = map(np.array, fields)
        assert np.array_equal(batch.frames[b], expected_frames)
        assert np.array_equal(batch.actions[b], actions)
        assert np.array_equal(batch.rewards[b], rewards.astype(np.float32))
        assert np.array_equal(batch.terminated[b], terminated)
        assert np.array_equal(batch.truncated[b], truncated)
        assert np.array_equal(batch.mask[b], mask)


def counts(buffer, reference, draws, batch_size=32):
    total = dict.fromkeys(reference.transitions(), 0)
    for _ in range(draws // batch_size):
        for index in buffer.sample(batch_size).index.tolist():
            total[index] += 1
    return total


@pytest.fixture
def filled(synthetic_steps):
    """Make a replay that has come round, and the list of the same steps."""

    def fill(kind=Kind(capacity_rows=20), num_rows=57):
        buffer, reference = empty(kind, 2), slow(kind, 2)
        play([buffer, reference], synthetic_steps([[5, 3], [9]], num_rows))
        return buffer, reference

    return fill


def test_all_transitions_are_drawn_equally_often_the_newest_too(filled):
    buffer, reference = filled()
    drawn = counts(buffer, reference, 28_000, 28)
    expected = 28_000 / len(drawn)
    chi_squared = sum((count - expected) ** 2 / expected for count in drawn.values())
    assert chi_squared < 2 * len(drawn)
    assert min(drawn.values()) > 0.8 * expected


@pytest.mark.parametrize(("exponent", "importance"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.4)])
def test_prioritised_ones_are_drawn_in_proportion_with_weights_that_correct_it(
    filled, exponent, importance
):
    buffer, reference = filled(Kind(capacity_rows=20, prioritised=True, exponent=exponent))
    buffer.importance_exponent = importance
    index = torch.tensor(reference.transitions())
    priority = 1.0 + torch.arange(len(index)) % 5
    buffer.update_priorities(index, priority)
    drawn = counts(buffer, reference, 56_000, 28)
    shares = (priority**exponent / (priority**exponent).sum()).tolist()
    for number, share in zip(index.tolist(), shares, strict=True):
        assert drawn[number] == pytest.approx(56_000 * share, rel=0.12)
    batch = buffer.sample(28)
    of_index = dict(zip(index.tolist(), shares, strict=True))
    own = torch.tensor([of_index[number] for number in batch.index.tolist()])
    assert torch.allclose(batch.importance_weight, (own.min() / own) ** importance)


def test_uniform_draws_weigh_the_same(filled):
    assert (filled()[0].sample(16).importance_weight == 1).all()


def test_new_transitions_get_the_largest_priority_so_far(filled, synthetic_steps):
    kind = Kind(capacity_rows=20, prioritised=True)
    buffer, reference = filled(kind)
    index = torch.tensor(reference.transitions())
    buffer.update_priorities(index[:1], torch.tensor([50.0]))
    buffer.update_priorities(index, torch.full((len(index),), 1e-6))
    steps = synthetic_steps([[5, 3], [9]], 60)
    play([buffer, reference], steps[57:59])
    drawn = set(buffer.sample(28).index.tolist())
    assert drawn == set(reference.transitions()[-4:]) - set(index.tolist())


@pytest.mark.parametrize("no_number", [float("nan"), float("inf")])
def test_a_priority_that_is_no_number_counts_as_the_smallest(filled, no_number):
    buffer, reference = filled(Kind(capacity_rows=20, prioritised=True))
    index = torch.tensor(reference.transitions())
    buffer.update_priorities(index, torch.ones(len(index)))
    buffer.update_priorities(index[:1], torch.tensor([no_number]))
    assert buffer.sample(28).importance_weight.isfinite().all()
    drawn = counts(buffer, reference, 560, 28)
    assert drawn.get(int(index[0]), 0) < 560 / 28 / 2
    assert set(index[1:].tolist()) <= set(drawn)


def test_priorities_of_overwritten_steps_vanish(filled, synthetic_steps):
    buffer, reference = filled(Kind(capacity_rows=20, prioritised=True))
    before = torch.tensor(reference.transitions())
    buffer.update_priorities(before, torch.full((len(before),), 1e9))
    steps = synthetic_steps([[5, 3], [9]], 100)
    play([buffer, reference], steps[57:90])
    index = torch.tensor(reference.transitions())
    buffer.update_priorities(index, torch.ones(len(index)))
    # Said too late, of cells that hold other steps by now.
    buffer.update_priorities(before, torch.full((len(before),), 1e9))
    drawn = counts(buffer, reference, 5600, 28)
    assert max(drawn.values()) < 3 * 5600 / len(index)
    assert set(drawn) == set(index.tolist())


def test_a_late_priority_does_not_undo_one_of_the_same_cell(filled, synthetic_steps):
    buffer, reference = filled(Kind(capacity_rows=20, prioritised=True), num_rows=57)
    stale = reference.transitions()[10]
    play([buffer, reference], synthetic_steps([[5, 3], [9]], 77)[57:])
    fresh = stale + 2 * 20
    index = torch.tensor(reference.transitions())
    buffer.update_priorities(index, torch.full((len(index),), 1e-6))
    for both in ([fresh, stale], [stale, fresh]):
        buffer.update_priorities(torch.tensor(both), torch.tensor([1e3, 1e3]))
        assert set(buffer.sample(8).index.tolist()) == {fresh}


def test_sampling_before_enough_data_says_how_much_is_missing(synthetic_steps):
    buffer = empty(Kind(capacity_rows=50), 1)
    with pytest.raises(TrainingError, match=r"offers 0 transitions .* needs 8; collect 8 more"):
        buffer.sample(8)
    steps = synthetic_steps([[40]], 21)
    play([buffer], steps[:6])
    with pytest.raises(TrainingError, match=r"offers 5 transitions .* needs 8; collect 3 more"):
        buffer.sample(8)
    with pytest.raises(TrainingError, match=r"needs 2 more frames than the replay offers"):
        buffer.sample_sequences(8, 4)
    with pytest.raises(TrainingError, match=r"over 7 steps .* offers 5; collect 2 more"):
        buffer.sample(5, n_step=7)
    assert buffer.sample(5, n_step=5).index.shape == (5,)


def test_what_a_ring_can_never_offer_is_refused(synthetic_steps):
    with pytest.raises(TrainingError, match=r"5 rows cannot offer a stack of 4 .* at least 6 rows"):
        empty(Kind(capacity_rows=5), 1)
    buffer = empty(Kind(capacity_rows=6), 1)
    play([buffer], synthetic_steps([[40]], 21))
    with pytest.raises(TrainingError, match=r"over 3 steps .* offers 2; .* lower n_step"):
        buffer.sample(1, n_step=3)
    with pytest.raises(TrainingError, match="7 frames needs 1 more frames"):
        buffer.sample_sequences(1, 7)
    assert buffer.sample_sequences(1, 6).mask.all()


def test_a_batch_stays_as_it_is_while_others_are_drawn(filled):
    buffer, _ = filled()
    first = buffer.sample(8)
    kept = first.observation.clone(), first.next_observation.clone()
    for _ in range(20):
        buffer.sample(8)
    assert torch.equal(first.observation, kept[0])
    assert torch.equal(first.next_observation, kept[1])


def test_the_same_seed_draws_the_same(filled):
    for prioritised in (False, True):
        kind = Kind(capacity_rows=20, prioritised=prioritised)
        first, second = filled(kind)[0], filled(kind)[0]
        assert torch.equal(first.sample(16).index, second.sample(16).index)


def test_a_transition_takes_at_most_7_2_kb():
    store = FrameStore(8, capacity_rows=500, ring=True)
    buffer = ReplayBuffer(
        store, clip_rewards=True, life_loss_is_terminal=True, seed=0, priorities=Priorities()
    )
    assert buffer.num_bytes / 4000 <= 7200


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("prioritised", [False, True])
@pytest.mark.parametrize("n_step", [1, 3])
def test_a_gpu_draws_right_transitions_without_waiting(
    synthetic_steps, device, prioritised, n_step
):
    kind = Kind(capacity_rows=20, prioritised=prioritised, device=device)
    buffer, reference = empty(kind, 2), slow(kind, 2)
    play([buffer, reference], synthetic_steps([[5, 3], [9]], 57))
    with without_waiting(device):
        batch = buffer.sample(20, n_step, 0.9)
        buffer.update_priorities(batch.index, batch.reward.abs())
        sequences = buffer.sample_sequences(20, 4)
    assert {batch.observation.device.type, sequences.frames.device.type} == {
        buffer.store.device.type
    }
    assert_batch_is(batch, reference, n_step, 0.9)
