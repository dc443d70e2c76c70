"""Pong: how far does a linear embedder get?"""

from linear_specification import Linear

from rlmaster import Atari, EmbedderTraining, Experiment, RandomFrames, launch

experiment = Experiment(
    name="pong-linear",
    environment=Atari(game="Pong"),
    frames=RandomFrames(steps=20_000),
    embedder=Linear(latent_dim=64, latent_noise=0.1),
    training=EmbedderTraining(updates=3_000),
)

if __name__ == "__main__":
    launch(experiment)
