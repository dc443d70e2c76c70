"""Pong: does reconstruction help the loss of the agent?

Both change the encoder, an update of one after an update of the other.
"""

from rlmaster import (
    AgentTraining,
    Atari,
    Autoencoder,
    EncoderTraining,
    Experiment,
    FastAgent,
    launch,
)

experiment = Experiment(
    name="pong-joint",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=Autoencoder(stacked_frames=4, latent_dim=256, channels=(16, 32, 32)),
    agent=FastAgent(),
    agent_training=AgentTraining(steps=60_000, evaluations=6),
    encoder=EncoderTraining(losses="both"),
)

if __name__ == "__main__":
    launch(experiment)
