"""Pong: can a small autoencoder draw the ball?

A first look at the whole path, two minutes on two processor cores: random play, training, previews,
video, report.
"""

from rlmaster import Atari, Autoencoder, EmbedderTraining, Experiment, RandomFrames, launch

experiment = Experiment(
    name="pong-autoencoder",
    environment=Atari(game="Pong"),
    frames=RandomFrames(steps=40_000),
    embedder=Autoencoder(latent_dim=256, channels=(16, 32, 32)),
    training=EmbedderTraining(updates=5_000),
)

if __name__ == "__main__":
    launch(experiment)
