"""Pong: how much can be drawn from latents that nobody has trained?

The control arm: what another embedder draws better than this one, it has learned. A few minutes on
two processor cores.
"""

from rlmaster import Atari, EmbedderTraining, Experiment, RandomEncoder, RandomFrames, launch

experiment = Experiment(
    name="pong-random-encoder",
    environment=Atari(game="Pong"),
    frames=RandomFrames(steps=40_000),
    embedder=RandomEncoder(latent_dim=256),
    training=EmbedderTraining(updates=3_000),
)

if __name__ == "__main__":
    launch(experiment)
