"""The random encoder never drifts, whatever is asked of it."""

import torch
from toy_sequences import NUM_ACTIONS, frames_with_a_dot, sequences_with_a_dot

from rlmaster.embedder_choices import RandomEncoder
from rlmaster.embedders.random_encoder import RandomEncoderEmbedder
from rlmaster.experiment import EmbedderTraining
from rlmaster.training.update import make_optimiser, make_update


def test_its_latents_never_change_while_decoder_and_head_learn() -> None:
    torch.manual_seed(0)
    fields = {"latent_l2": 1.0, "inverse_dynamics_weight": 1.0, "decoder_weight_decay": 0.1}
    made = RandomEncoder(latent_dim=16, channels=(8, 8, 8), **fields)
    embedder = RandomEncoderEmbedder(made, num_actions=NUM_ACTIONS)
    embedder.prepare(frames_with_a_dot(64))
    batch = sequences_with_a_dot(16, 2)
    before = {name: value.clone() for name, value in embedder.state_dict().items()}
    latents = embedder.embed(batch.frames)
    optimiser = make_optimiser(embedder, EmbedderTraining(learning_rate=1e-2))
    update = make_update(embedder, optimiser, torch.float32, compiled=False)
    for _ in range(5):
        update(batch)
    after = embedder.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "action_head"}
    assert torch.equal(embedder.embed(batch.frames), latents)
