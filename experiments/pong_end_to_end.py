"""Pong: what does the agent reach whose loss alone trains the encoder?

The networks are those of pong_frozen_autoencoder.py, whose own loss is not used here.
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
    name="pong-end-to-end",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=Autoencoder(stacked_frames=4, latent_dim=256, channels=(16, 32, 32)),
    agent=FastAgent(),
    agent_training=AgentTraining(steps=60_000, evaluations=6),
    encoder=EncoderTraining(losses="td"),
)

if __name__ == "__main__":
    launch(experiment)
