from itertools import islice

import numpy as np
import pytest
import torch

from rlmaster.embedder_choices import Autoencoder, ForwardPredictor
from rlmaster.embedders.autoencoder import AutoencoderEmbedder
from rlmaster.embedders.forward import ForwardPredictorEmbedder
from rlmaster.errors import TrainingError
from rlmaster.replay.frame_store import FrameStore
from rlmaster.training.batches import BATCHES_AT_ONCE, Batches

ROWS = 40
SMALL = {"latent_dim": 4, "channels": (4, 4, 4)}


def store_with_episodes_of(length: int) -> FrameStore:
    """Return a store whose every frame is grey by its row, with episodes of so many rows."""
    store = FrameStore(1, capacity_rows=ROWS)
    store.keep_newest(
        {
            "frames": np.arange(ROWS, dtype=np.uint8)[:, None, None, None]
            .repeat(84, 2)
            .repeat(84, 3),
            "actions": np.zeros((ROWS, 1), np.int8),
            "rewards": np.zeros((ROWS, 1), np.float32),
            **{
                name: np.zeros((ROWS, 1), np.bool_)
                for name in ("terminated", "truncated", "life_lost")
            },
            "episode_start": (np.arange(ROWS) % length == 0)[:, None],
        }
    )
    return store


def batches(store, embedder, seed=1):
    return Batches(store, store.episodes(), embedder, batch_size=4, seed=seed)


def rows_of(batch):
    return batch.frames[:, :, 0, 0].tolist()


@pytest.mark.parametrize("done", [0, 3, BATCHES_AT_ONCE, 2 * BATCHES_AT_ONCE + 1])
def test_a_batch_follows_from_the_number_of_its_update_alone(done):
    made = batches(
        store_with_episodes_of(10), AutoencoderEmbedder(Autoencoder(**SMALL), num_actions=6)
    )

    whole = [rows_of(batch) for batch in islice(made.after(0), done + 5)]

    assert [rows_of(batch) for batch in islice(made.after(done), 5)] == whole[done:]
    assert len(set(map(str, whole))) == len(whole)


def test_another_seed_draws_other_frames():
    store = store_with_episodes_of(10)
    embedder = AutoencoderEmbedder(Autoencoder(**SMALL), num_actions=6)

    first, other = (next(batches(store, embedder, seed).after(0)) for seed in (1, 2))

    assert rows_of(first) != rows_of(other)


def test_a_sequence_is_as_long_as_the_embedder_says_and_its_step_was_played():
    embedder = ForwardPredictorEmbedder(ForwardPredictor(**SMALL), num_actions=6)

    for batch in islice(batches(store_with_episodes_of(10), embedder).after(0), 20):
        assert batch.frames.shape[1] == 5
        assert torch.all(batch.mask[:, -2:])


def test_episodes_that_are_too_short_are_refused_with_what_to_do():
    embedder = ForwardPredictorEmbedder(ForwardPredictor(**SMALL), num_actions=6)

    with pytest.raises(TrainingError, match=r"as long as the 2 frames .* \(frames\.steps\)"):
        batches(store_with_episodes_of(1), embedder)
