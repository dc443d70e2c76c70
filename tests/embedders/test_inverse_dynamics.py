"""Telling actions from latents: by hand, and which latents and action it is about."""

import math

import pytest
import torch
from toy_sequences import NUM_ACTIONS, sequences_with_a_dot

from rlmaster.embedder_choices import Autoencoder, ForwardPredictor, InverseDynamics
from rlmaster.embedders.autoencoder import AutoencoderEmbedder
from rlmaster.embedders.forward import ForwardPredictorEmbedder
from rlmaster.embedders.inverse import InverseDynamicsEmbedder
from rlmaster.embedders.inverse_dynamics import action_accuracy, action_error


def test_error_and_accuracy_by_hand_leave_unknown_actions_out() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0], [9.0, 0.0], [0.0, 1.0]])
    actions = torch.tensor([0, 1, -1, 1])
    expected = (math.log(4 / 3) + math.log(2) + math.log(1 + math.exp(-1))) / 3
    assert float(action_error(logits, actions)) == pytest.approx(expected)
    assert float(action_accuracy(logits, actions)) == pytest.approx(2 / 3)
    nothing = torch.full((4,), -1)
    assert float(action_error(logits, nothing)) == float(action_accuracy(logits, nothing)) == 0


@pytest.mark.parametrize(
    ("specification", "module"),
    [
        (Autoencoder, AutoencoderEmbedder),
        (ForwardPredictor, ForwardPredictorEmbedder),
        (InverseDynamics, InverseDynamicsEmbedder),
    ],
)
def test_the_action_lies_between_the_two_newest_stacks(specification, module) -> None:
    fields = {"stacked_frames": 2, "inverse_dynamics_weight": 1.0}
    made = specification(latent_dim=16, channels=(8, 8, 8), **fields)
    embedder = module(made, num_actions=NUM_ACTIONS)
    batch = sequences_with_a_dot(6, 3)
    before, after = embedder.embed(batch.frames[:, :2]), embedder.embed(batch.frames[:, 1:])
    expected = action_error(embedder.action_head(before, after), batch.actions[:, 1])
    told = embedder.loss(batch).parts["inverse_dynamics"]
    assert float(told) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_drawing_does_not_change_what_the_latents_learn() -> None:
    def gradient(foreground_weight: float) -> torch.Tensor:
        torch.manual_seed(0)
        fields = {"foreground_weight": foreground_weight, "worst_pixel_weight": foreground_weight}
        made = InverseDynamics(latent_dim=16, channels=(8, 8, 8), **fields)
        embedder = InverseDynamicsEmbedder(made, num_actions=NUM_ACTIONS)
        embedder.loss(sequences_with_a_dot(6, 2)).total.backward()
        grads = [w.grad.flatten() for w in embedder.encoder.parameters() if w.grad is not None]
        return torch.cat(grads)

    assert gradient(0.0).abs().sum() > 0
    assert torch.equal(gradient(0.0), gradient(1e4))
