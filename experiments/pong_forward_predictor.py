"""Pong: can four frames and an action tell the next frame, the ball included?

The picture that comes out is of a frame that did not go in. Five minutes on one processor core.
"""

from rlmaster import Atari, EmbedderTraining, Experiment, ForwardPredictor, RandomFrames, launch

experiment = Experiment(
    name="pong-forward-predictor",
    environment=Atari(game="Pong"),
    frames=RandomFrames(steps=100_000),
    embedder=ForwardPredictor(latent_dim=256, channels=(16, 32, 32)),
    training=EmbedderTraining(updates=10_000),
)

if __name__ == "__main__":
    launch(experiment)
