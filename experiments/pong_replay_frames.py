"""Pong: what does an autoencoder learn from all that an agent saw on its way up?

The frames are those that the run of pong_fast.py with the same seed kept, all of them.
"""

from rlmaster import Atari, Autoencoder, EmbedderTraining, Experiment, ReplayFrames, launch

experiment = Experiment(
    name="pong-replay-frames",
    environment=Atari(game="Pong", protocol="classic"),
    frames=ReplayFrames(run="pong-fast"),
    embedder=Autoencoder(latent_dim=256, channels=(16, 32, 32)),
    training=EmbedderTraining(updates=5_000),
)

if __name__ == "__main__":
    launch(experiment)
