"""Pong: how far does an agent come on latents that nobody trained?

The control of pong_frozen_autoencoder.py: the same networks, with the weights they began with.
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
    name="pong-frozen-random",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=Autoencoder(stacked_frames=4, latent_dim=256, channels=(16, 32, 32)),
    agent=FastAgent(),
    agent_training=AgentTraining(steps=60_000, evaluations=6),
    encoder=EncoderTraining(losses="none"),
)

if __name__ == "__main__":
    launch(experiment)
