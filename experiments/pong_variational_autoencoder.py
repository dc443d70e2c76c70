"""Pong: what does keeping latents near a normal distribution cost?

Beside pong_autoencoder: the same networks, latents drawn at random, a few minutes on two processor
cores. The curve train/kl_divergence shows how much the latents say.
"""

from rlmaster import (
    Atari,
    EmbedderTraining,
    Experiment,
    RandomFrames,
    VariationalAutoencoder,
    launch,
)

experiment = Experiment(
    name="pong-variational-autoencoder",
    environment=Atari(game="Pong"),
    frames=RandomFrames(steps=40_000),
    embedder=VariationalAutoencoder(latent_dim=256),
    training=EmbedderTraining(updates=3_000),
)

if __name__ == "__main__":
    launch(experiment)
