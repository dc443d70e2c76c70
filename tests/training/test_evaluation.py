"""What evaluations measure: real sequences, against slow sums, leaving the embedder as it was."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rlmaster.atari.ball import BallBoxes
from rlmaster.embedders.base import BaseEmbedder, EmbedderLoss, Preview, unit_interval
from rlmaster.embedders.foreground import median_background
from rlmaster.errors import TrainingError
from rlmaster.replay.batches import SequenceBatch
from rlmaster.replay.frame_store import FrameStore
from rlmaster.training import evaluation
from rlmaster.training.evaluation import (
    MeasuredFrames,
    evenly_chosen,
    held_out_frames,
)

EPISODES = (12, 30, 3, 25)


class SaysTheFrameBefore(BaseEmbedder):
    """Predicts that nothing moves, with the help of the frame before and of chance."""

    def __init__(self, shape: tuple[int, ...] | None = None) -> None:
        super().__init__(1, sequence_length=3, least_frames=2)
        self.weight = nn.Parameter(torch.zeros(1))
        self.shape = shape
        self.masks: list[Tensor] = []

    def embed(self, observation: Tensor) -> Tensor:
        return observation.flatten(1).float().mean(1, keepdim=True)

    def loss(self, batch: SequenceBatch) -> EmbedderLoss:
        return EmbedderLoss(batch.frames.float().mean() * self.weight.sum())

    def preview(self, batch: SequenceBatch) -> Preview:
        assert not self.training
        torch.rand(3)
        self.masks.append(batch.mask)
        frames = unit_interval(batch.frames)
        drawn = frames[:, 1:2] if self.shape is None else torch.zeros(self.shape)
        return Preview(frames[:, 2:], drawn)


@pytest.fixture
def store() -> FrameStore:
    """One stream: a bright ball goes to the right over a grey field."""
    rows = sum(EPISODES)
    store = FrameStore(1, capacity_rows=rows)
    starts = np.isin(np.arange(rows), np.cumsum([0, *EPISODES[:-1]]))
    frames = np.full((rows, 1, 84, 84), 100, np.uint8)
    for row in range(rows):
        column = 3 * (row % 26)
        frames[row, 0, 40:42, column : column + 2] = 220
    nothing = np.zeros((rows, 1), np.bool_)
    store.keep_newest(
        {
            "frames": frames,
            "actions": np.where(np.roll(starts, -1), -1, 1).astype(np.int8)[:, None],
            "rewards": np.zeros((rows, 1), np.float32),
            "terminated": np.roll(starts, -2)[:, None],
            "truncated": nothing,
            "life_lost": nothing,
            "episode_start": starts[:, None],
        }
    )
    return store


def test_errors_are_those_of_a_slow_sum(store: FrameStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "BATCH_FRAMES", 7)
    indices = store.frame_indices(store.episodes(), after=1)
    background = torch.full((1, 1, 84, 84), 100 / 255)
    embedder = SaysTheFrameBefore()
    found = MeasuredFrames(store, indices, background).measure(embedder)
    squared, in_front = [], []
    for index in indices.tolist():
        now, before = (store.frames_at(np.array([i]))[0, 0].double() for i in (index, index - 1))
        difference = ((now - before) / 255) ** 2
        squared.append(difference.mean())
        in_front += difference[now != 100].tolist()
    assert found.error == pytest.approx(float(torch.stack(squared).mean()), rel=1e-5)
    assert found.foreground_error == pytest.approx(np.mean(in_front), rel=1e-5)
    assert found.ball is None
    masks = torch.cat(embedder.masks)
    assert masks[:, 1:].all()
    assert (~masks[:, 0]).sum() == len(EPISODES)  # the second frame of each has only one before it


def balls_of(store: FrameStore) -> BallBoxes:
    """Return where the ball is, and that it is seen in every other frame."""
    rows = np.arange(store.num_rows)
    columns = 3 * (rows % 26)
    box = np.stack([np.full_like(columns, 40), columns, np.full_like(columns, 42), columns + 2], 1)
    return BallBoxes(rows % 2 == 0, box[:, :2] + 0.5, box)


def test_the_ball_is_measured_where_it_is_seen(store: FrameStore) -> None:
    indices = store.frame_indices(store.episodes(), after=1)
    balls = balls_of(store).at(indices)
    background = torch.full((1, 1, 84, 84), 100 / 255)
    found = MeasuredFrames(store, indices, background, balls).measure(SaysTheFrameBefore()).ball
    assert found is not None
    assert found.frames == balls.visible.sum()
    assert found.found == 0  # it is always three pixels behind
    assert found.error > 0


def test_without_foreground_there_is_no_error_of_it(store: FrameStore) -> None:
    indices = np.array([5, 6])
    everything = unit_interval(store.frames_at(indices[1:]))
    measured = MeasuredFrames(store, indices[1:], everything)
    assert measured.measure(SaysTheFrameBefore()).foreground_error is None


def test_held_out_frames_are_spread_and_have_what_the_embedder_looks_at(
    store: FrameStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "MEASURED_FRAMES", 10)
    train, held_out = store.episodes()[:1], store.episodes()[1:]
    measured = held_out_frames(store, train, held_out, SaysTheFrameBefore())
    possible = store.frame_indices(held_out, after=1)
    assert measured._indices.tolist() == evenly_chosen(possible, 10).tolist()
    sample = store.frames_at(store.frame_indices(train))
    assert torch.equal(measured._background, median_background(sample))


def test_the_ball_is_measured_on_held_out_frames_where_it_is_known(
    store: FrameStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "MEASURED_FRAMES", 10)
    train, held_out, balls = store.episodes()[:1], store.episodes()[1:], balls_of(store)
    measured = held_out_frames(store, train, held_out, SaysTheFrameBefore(), balls)
    found = measured.measure(SaysTheFrameBefore()).ball
    assert found is not None
    assert found.frames == balls.visible[measured._indices].sum() > 0


def test_too_short_episodes_are_refused_in_a_sentence(store: FrameStore) -> None:
    short = SaysTheFrameBefore()
    short.least_frames = 4
    train, held_out = store.episodes()[:1], store.episodes()[2:3]
    with pytest.raises(TrainingError, match=r"no frame is left.*frames\.steps"):
        held_out_frames(store, train, held_out, short)


def test_measuring_leaves_modes_gradients_and_chance_alone(store: FrameStore) -> None:
    embedder = SaysTheFrameBefore().train()
    before = torch.get_rng_state()
    background = torch.zeros(1, 1, 84, 84)
    MeasuredFrames(store, np.arange(1, 9), background).measure(embedder)
    assert embedder.training
    assert torch.equal(torch.get_rng_state(), before)
    assert embedder.weight.grad is None


def test_pictures_of_another_size_are_refused_in_a_sentence(store: FrameStore) -> None:
    measured = MeasuredFrames(store, np.arange(1, 9), torch.zeros(1, 1, 84, 84))
    with pytest.raises(TrainingError, match=r"SaysTheFrameBefore.*\(8, 1, 84, 84\)"):
        measured.measure(SaysTheFrameBefore(shape=(1, 1, 84, 84)))
