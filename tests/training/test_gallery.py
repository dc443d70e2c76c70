"""What is shown: the ball where it is known, else what moves; real sequences for every embedder."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rlmaster.atari.ball import BallBoxes
from rlmaster.embedders.base import BaseEmbedder, EmbedderLoss, Preview, unit_interval
from rlmaster.errors import TrainingError
from rlmaster.replay.batches import SequenceBatch
from rlmaster.replay.frame_store import FrameStore
from rlmaster.training.canonical import CanonicalFrames
from rlmaster.training.gallery import drawn_pairs, moments_of_a_run, moving_moments

ROWS, STARTS = 90, (0, 40)


class SaysTheFrameBefore(BaseEmbedder):
    """Predicts that nothing moves."""

    drawing = "prediction"

    def __init__(self) -> None:
        super().__init__(1, sequence_length=3, least_frames=3)
        self.weight = nn.Parameter(torch.zeros(1))

    def embed(self, observation: Tensor) -> Tensor:
        return observation.flatten(1).float().mean(1, keepdim=True)

    def loss(self, batch: SequenceBatch) -> EmbedderLoss:
        return EmbedderLoss(batch.frames.float().mean() * self.weight.sum())

    def preview(self, batch: SequenceBatch) -> Preview:
        frames = unit_interval(batch.frames)
        return Preview(frames[:, 2:], frames[:, 1:2])


def ball_columns(rows: np.ndarray) -> np.ndarray:
    return 3 * (rows % 26)


@pytest.fixture
def store() -> FrameStore:
    """One stream of two episodes: a bright ball goes to the right over a grey field."""
    frames = np.full((ROWS, 1, 84, 84), 100, np.uint8)
    for row, column in enumerate(ball_columns(np.arange(ROWS)).tolist()):
        frames[row, 0, 40:42, column : column + 2] = 220
    starts = np.isin(np.arange(ROWS), STARTS)[:, None]
    nothing = np.zeros((ROWS, 1), np.bool_)
    store = FrameStore(1, capacity_rows=ROWS)
    store.keep_newest(
        {
            "frames": frames,
            "actions": np.zeros((ROWS, 1), np.int8),
            "rewards": np.zeros((ROWS, 1), np.float32),
            "terminated": nothing,
            "truncated": nothing,
            "life_lost": nothing,
            "episode_start": starts,
        }
    )
    return store


@pytest.fixture
def canonical(store: FrameStore) -> CanonicalFrames:
    """Frames of that store; their ball is seen in every third only."""
    indices = np.arange(50, 80)
    columns = ball_columns(indices)
    box = np.stack([np.full(30, 40), columns, np.full(30, 42), columns + 2], axis=1)
    visible = np.arange(30) % 3 == 0
    balls = BallBoxes(visible, box[:, :2] + 0.5, box)
    return CanonicalFrames(store, indices, np.zeros((30, 128), np.uint8), balls)


def shows_the_ball(original: np.ndarray) -> bool:
    return bool((original == 220).sum() == 4)


def test_previews_are_of_canonical_moments_with_a_ball(
    store: FrameStore, canonical: CanonicalFrames
) -> None:
    embedder = SaysTheFrameBefore()
    moments = moments_of_a_run(store, store.episodes()[:1], canonical, embedder)
    assert canonical.balls is not None
    assert np.isin(moments.indices, canonical.indices[canonical.balls.visible]).all()
    assert len(set(moments.indices.tolist())) == 3
    drawn = moments.drawn_by(embedder)
    assert drawn.titles == ("original", "prediction", "difference")
    for original, window in zip(drawn.originals, drawn.windows, strict=True):
        assert shows_the_ball(window.cut(original))


@pytest.mark.parametrize("balls", ["unknown", "unseen"])
def test_without_a_ball_they_are_of_what_moves_in_held_out_episodes(
    store: FrameStore, canonical: CanonicalFrames, balls: str
) -> None:
    assert canonical.balls is not None
    unseen = canonical.balls._replace(visible=np.zeros(30, np.bool_))
    others = replace(canonical, balls=None if balls == "unknown" else unseen)
    held_out = store.episodes()[1:]
    moments = moments_of_a_run(store, held_out, others, SaysTheFrameBefore())
    assert len(moments.indices) == 3
    assert (moments.indices >= STARTS[1] + 2).all()  # with the frames before that it looks at
    for original, window in zip(
        store.frames_at(moments.indices)[:, 0].numpy(), moments.windows, strict=True
    ):
        assert shows_the_ball(window.cut(original))


def test_what_is_drawn_follows_from_the_frames_before(store: FrameStore) -> None:
    told: list[int] = []
    pairs = list(drawn_pairs(SaysTheFrameBefore(), store, store.episodes(), told.append))
    assert told == [ROWS - 2 * 2]  # the first two frames of each episode cannot be drawn
    indices = store.frame_indices(store.episodes(), after=2)
    for index, (original, drawn) in zip(indices, pairs, strict=True):
        assert np.array_equal(original, store.frames_of_row(index)[0])
        assert np.array_equal(drawn, store.frames_of_row(index - 1)[0])


def test_episodes_too_short_to_be_drawn_are_refused_in_a_sentence(store: FrameStore) -> None:
    short = [replace(store.episodes()[0], stop_row=2)]
    assert len(moving_moments(store, short, 3).indices) == 1
    one = [replace(store.episodes()[0], stop_row=1)]
    assert len(moving_moments(store, one, 3).indices) == 1
    with pytest.raises(TrainingError, match="no episode has the 3 frames in a row"):
        moving_moments(store, short, 3, least_frames=3)
