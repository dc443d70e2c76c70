"""The forward predictor's own: it never sees what it draws, and is told the action."""

import pytest
import torch
from toy_sequences import NUM_ACTIONS, frames_with_a_dot, sequences_with_a_dot

from rlmaster.embedder_choices import ForwardPredictor
from rlmaster.embedders.forward import ForwardPredictorEmbedder, one_hot
from rlmaster.replay.batches import SequenceBatch


def built(*, uses_action: bool = True) -> ForwardPredictorEmbedder:
    torch.manual_seed(0)
    specification = ForwardPredictor(latent_dim=16, channels=(8, 8, 8), uses_action=uses_action)
    embedder = ForwardPredictorEmbedder(specification, num_actions=NUM_ACTIONS)
    embedder.prepare(frames_with_a_dot(64))
    return embedder.eval()


def drawn(embedder: ForwardPredictorEmbedder, batch: SequenceBatch) -> torch.Tensor:
    return embedder.preview(batch).reconstruction.detach()


def test_the_drawn_frame_is_never_looked_at_and_all_others_are() -> None:
    batch = sequences_with_a_dot(3, 5)
    usual = drawn(built(), batch)
    for frame in range(5):
        changed = SequenceBatch.of_frames(batch.frames.clone())
        changed.actions.copy_(batch.actions)
        changed.frames[:, frame] = 255 - changed.frames[:, frame]
        assert torch.equal(drawn(built(), changed), usual) == (frame == 4)


@pytest.mark.parametrize("uses_action", [True, False])
def test_only_the_last_action_before_the_drawn_frame_is_told(uses_action: bool) -> None:
    batch = sequences_with_a_dot(3, 5)
    embedder = built(uses_action=uses_action)
    usual = drawn(embedder, batch)
    for step in range(5):
        actions = batch.actions.clone()
        actions[:, step] = (actions[:, step] + 1) % NUM_ACTIONS
        other = SequenceBatch.of_frames(batch.frames)
        other.actions.copy_(actions)
        assert torch.equal(drawn(embedder, other), usual) == (step != 3 or not uses_action)


def test_an_unknown_action_is_all_zeros() -> None:
    assert one_hot(torch.tensor([2, -1, 0]), 3).tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
