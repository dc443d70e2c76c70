"""Pong: does an autoencoder draw more of the game if all of its states come equally often?

Emulator states are kept by the looks of their frames, drawn uniformly, and played on from.
"""

from rlmaster import Atari, Autoencoder, EmbedderTraining, Experiment, UniformStateFrames, launch

experiment = Experiment(
    name="pong-uniform-states",
    environment=Atari(game="Pong"),
    frames=UniformStateFrames(steps=40_000),
    embedder=Autoencoder(latent_dim=256, channels=(16, 32, 32)),
    training=EmbedderTraining(updates=5_000),
)

if __name__ == "__main__":
    launch(experiment)
