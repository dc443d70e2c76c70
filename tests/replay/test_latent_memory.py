"""Latents beside frames: what is sampled is what embedding the sampled frames would have given."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_stand_in import DEVICES, ring, without_waiting
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_replay import SlowReplay

from rlmaster.errors import TrainingError
from rlmaster.replay import row_store
from rlmaster.replay.buffer import ReplayBuffer
from rlmaster.replay.frame_store import FrameStore
from rlmaster.replay.latent_memory import LatentMemory, bytes_of_latent
from rlmaster.replay.prioritised import Priorities
from rlmaster.room import FreeRoom

FRAME_SHAPE = (2, 3)
LATENT_DIM = 2
LENGTHS = [[5, 3], [9, 1]]

episode_lengths = st.lists(
    st.lists(st.integers(1, 7), min_size=1, max_size=4), min_size=1, max_size=3
)


@dataclass
class WeightedSums:
    """An encoder of small whole numbers, so that equal means equal; black is not 0 to it."""

    factor: float = 1.0
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, views):
        self.shapes.append(tuple(views.shape))
        assert views.is_contiguous()
        pixels = views.flatten(1).float()
        weights = 1 + torch.arange(pixels.shape[1], device=views.device, dtype=torch.float32)
        return self.factor * torch.stack([(pixels * weights).sum(1) + 1, pixels.sum(1) + 2], 1)


@dataclass(frozen=True)
class Kind:
    """What a replay is asked to be."""

    capacity_rows: int = 20
    stacked_frames: int = 4
    frames_of_view: int = 1
    prioritised: bool = False
    device: str = "cpu"

    @property
    def num_views(self):
        return self.stacked_frames // self.frames_of_view


def empty(kind, num_environments, embed=None):
    store = ring(num_environments, kind.capacity_rows, FRAME_SHAPE, kind.device)
    return ReplayBuffer(
        store,
        stacked_frames=kind.stacked_frames,
        clip_rewards=False,
        life_loss_is_terminal=False,
        seed=0,
        priorities=Priorities() if kind.prioritised else None,
        latents=LatentMemory(
            store,
            embed or WeightedSums(),
            latent_dim=LATENT_DIM,
            frames_of_view=kind.frames_of_view,
            num_views=kind.num_views,
        ),
    )


def slow(kind, num_environments):
    return SlowReplay(
        num_environments,
        capacity_rows=kind.capacity_rows,
        stacked_frames=kind.stacked_frames,
        clip_rewards=False,
        life_loss_is_terminal=False,
    )


def latents_of(stacks, kind, embed=None):
    """Embed the views of observations `(B, K, H, W)`, each by itself."""
    used = kind.num_views * kind.frames_of_view
    newest = torch.from_numpy(np.ascontiguousarray(stacks))[:, -used:]
    views = newest.split(kind.frames_of_view, 1)
    return torch.cat([(embed or WeightedSums())(view.contiguous()) for view in views], 1)


def play(buffer, steps, reference=None, *, acts=lambda _number: True):
    generator = np.random.default_rng(0)
    for number, step in enumerate(steps):
        if acts(number):
            buffer.observe(step)
        actions = generator.integers(6, size=len(step.reward))
        buffer.append(step, actions)
        if reference is not None:
            reference.append(step, actions)


def assert_batch_is(batch, reference, kind, n_step):
    expected = [reference.transition(index, n_step, 0.9) for index in batch.index.tolist()]
    seen = latents_of(np.stack([one.observation for one in expected]), kind)
    following = latents_of(np.stack([one.next_observation for one in expected]), kind)
    assert torch.equal(batch.observation.cpu(), seen)
    assert torch.equal(batch.next_observation.cpu(), following)
    assert batch.action.tolist() == [one.action for one in expected]
    discounts = pytest.approx([one.discount for one in expected])
    assert batch.discount.tolist() == discounts


kinds = st.builds(
    Kind,
    capacity_rows=st.integers(7, 20),
    frames_of_view=st.integers(1, 4),
    prioritised=st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(
    kind=kinds,
    lengths=episode_lengths,
    num_rows=st.integers(4, 45),
    n_step=st.integers(1, 3),
    every=st.integers(1, 3),
)
def test_sampled_latents_are_those_of_the_frames_of_a_list(
    synthetic_steps, kind, lengths, num_rows, n_step, every
):
    buffer, reference = empty(kind, len(lengths)), slow(kind, len(lengths))
    steps = synthetic_steps(lengths, num_rows)
    play(buffer, steps, reference, acts=lambda number: number % every == 0)
    count = len(reference.transitions())
    assert count > 0
    for _ in range(-(-40 // count)):
        batch = buffer.sample(count, n_step, 0.9)
        assert_batch_is(batch, reference, kind, n_step)
        buffer.update_priorities(batch.index, torch.rand(count) + 0.1)


@pytest.mark.parametrize("frames_of_view", [1, 2, 3, 4])
def test_what_is_acted_upon_are_the_latents_of_what_the_environments_show(
    synthetic_steps, frames_of_view
):
    kind = Kind(capacity_rows=8, frames_of_view=frames_of_view)
    buffer = empty(kind, 2)
    for step in synthetic_steps(LENGTHS, 40):
        expected = latents_of(step.observation, kind)
        assert torch.equal(buffer.observe(step), expected)
        assert torch.equal(buffer.observe(step), expected)  # asked twice, made once
        buffer.append(step, np.zeros(2, np.int64))


def test_without_latents_the_frames_are_acted_upon(synthetic_steps):
    store = FrameStore(2, capacity_rows=8, frame_shape=FRAME_SHAPE)
    buffer = ReplayBuffer(store, clip_rewards=True, life_loss_is_terminal=True, seed=0)
    [step] = synthetic_steps(LENGTHS, 1)
    assert np.array_equal(buffer.observe(step), step.observation)
    buffer.embed_again()  # of nothing


def test_each_row_is_embedded_once_and_always_in_the_same_batch(synthetic_steps):
    embed = WeightedSums()
    buffer = empty(Kind(frames_of_view=2), 2, embed)
    play(buffer, synthetic_steps(LENGTHS, 33), acts=lambda number: number > 10)
    buffer.sample(16)
    assert len(embed.shapes) == 1 + 33  # the first is what was never played
    buffer.embed_again()
    assert len(embed.shapes) == 1 + 33 + 1 + 20
    assert set(embed.shapes) == {(2, 2, *FRAME_SHAPE)}


@pytest.mark.parametrize("frames_of_view", [1, 2, 4])
@pytest.mark.parametrize("num_rows", [12, 21, 57])
def test_a_restored_replay_has_the_same_latents_once_they_are_made_again(
    synthetic_steps, tmp_path, frames_of_view, num_rows
):
    kind = Kind(frames_of_view=frames_of_view)
    steps = synthetic_steps(LENGTHS, num_rows + 30)
    buffer, restored = empty(kind, 2), empty(kind, 2)
    play(buffer, steps[:num_rows])
    buffer.save(tmp_path)
    forgetful = empty(kind, 2)
    forgetful.restore(tmp_path, buffer.state())
    with pytest.raises(AssertionError, match="embed_again is due"):
        forgetful.sample(8)
    restored.restore(tmp_path, buffer.state())
    told = []
    restored.embed_again(lambda done, total: told.append((done, total)))
    rows = min(num_rows, 20)
    assert told == [(done + 1, rows) for done in range(rows)]
    for step in steps[num_rows:]:
        assert torch.equal(buffer.observe(step), restored.observe(step))
        play(buffer, [step])
        play(restored, [step])
        one, other = buffer.sample(16, 2), restored.sample(16, 2)
        assert torch.equal(one.observation, other.observation)
        assert torch.equal(one.next_observation, other.next_observation)


def test_an_encoder_that_has_changed_embeds_everything_again(synthetic_steps):
    kind, embed = Kind(), WeightedSums()
    buffer, reference = empty(kind, 2, embed), slow(kind, 2)
    play(buffer, synthetic_steps(LENGTHS, 7), reference)
    embed.factor = 3.0
    buffer.embed_again()
    batch = buffer.sample(10)
    for number, index in enumerate(batch.index.tolist()):
        stack = reference.transition(index, 1, 0.9).observation[None]
        assert torch.equal(batch.observation[number], 3 * latents_of(stack, kind)[0])


def test_latents_count_as_memory(synthetic_steps):
    buffer = empty(Kind(capacity_rows=20), 2)
    store = FrameStore(2, capacity_rows=20, frame_shape=FRAME_SHAPE, ring=True)
    without = ReplayBuffer(store, clip_rewards=False, life_loss_is_terminal=False, seed=0)
    assert buffer.num_bytes - without.num_bytes == 41 * LATENT_DIM * 4
    assert bytes_of_latent(LATENT_DIM) == LATENT_DIM * 4


def test_frames_that_leave_no_room_for_latents_go_elsewhere_or_are_refused(monkeypatch, tmp_path):
    frames, latents = 41 * 6, 41 * bytes_of_latent(LATENT_DIM)
    room = FreeRoom(device=0, memory=2 * frames, disk=frames + 2 * latents)
    monkeypatch.setattr(row_store, "free_room", lambda _device, _folder: room)
    size = {"capacity_rows": 20, "frame_shape": FRAME_SHAPE, "disk_folder": tmp_path}
    beside = bytes_of_latent(LATENT_DIM)

    def maps():
        lines = Path("/proc/self/maps").read_text().splitlines()
        return sum("(deleted)" in line and str(tmp_path) in line for line in lines)

    in_memory = FrameStore(2, storage="auto", **size)
    assert maps() == 0
    on_disk = FrameStore(2, storage="auto", bytes_beside_frame=beside, **size)
    memory = LatentMemory(
        on_disk, WeightedSums(), latent_dim=LATENT_DIM, frames_of_view=1, num_views=1
    )
    assert maps() == 2
    assert memory.num_bytes == latents
    assert in_memory.memory.cells.shape == on_disk.memory.cells.shape
    with pytest.raises(TrainingError, match="the frames need"):
        FrameStore(2, storage="memory", bytes_beside_frame=beside, **size)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("prioritised", [False, True])
@pytest.mark.parametrize("n_step", [1, 3])
def test_a_gpu_draws_right_latents_without_waiting(synthetic_steps, device, prioritised, n_step):
    kind = Kind(frames_of_view=2, prioritised=prioritised, device=device)
    buffer, reference = empty(kind, 2), slow(kind, 2)
    play(buffer, synthetic_steps(LENGTHS, 57), reference)
    with without_waiting(device):
        batch = buffer.sample(20, n_step, 0.9)
    assert batch.observation.device.type == buffer.store.device.type
    assert_batch_is(batch, reference, kind, n_step)
