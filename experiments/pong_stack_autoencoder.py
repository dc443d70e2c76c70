"""Pong: can one latent of four frames draw all four of them?

What begins an agent that is to see how the ball flies. Five minutes on one processor core.
"""

from rlmaster import Atari, Autoencoder, EmbedderTraining, Experiment, RandomFrames, launch

experiment = Experiment(
    name="pong-stack-autoencoder",
    environment=Atari(game="Pong"),
    frames=RandomFrames(steps=100_000),
    embedder=Autoencoder(stacked_frames=4, latent_dim=256, channels=(16, 32, 32)),
    training=EmbedderTraining(updates=10_000),
)

if __name__ == "__main__":
    launch(experiment)
