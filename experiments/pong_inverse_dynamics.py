"""Pong: what of a frame is kept where only the action has to be told?

Most of what it cannot influence may go, the ball as well. The curve train/action_accuracy shows how
well it tells actions. A few minutes on two processor cores.
"""

from rlmaster import Atari, EmbedderTraining, Experiment, InverseDynamics, RandomFrames, launch

experiment = Experiment(
    name="pong-inverse-dynamics",
    environment=Atari(game="Pong"),
    frames=RandomFrames(steps=40_000),
    embedder=InverseDynamics(latent_dim=256, stacked_frames=2),
    training=EmbedderTraining(updates=3_000),
)

if __name__ == "__main__":
    launch(experiment)
