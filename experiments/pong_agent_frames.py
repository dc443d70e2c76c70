"""Pong: what does an autoencoder draw that has watched somebody play?

Random play loses every rally, and so shows little of the game. Here the paddle follows the ball.
"""

from rlmaster import AgentFrames, Atari, Autoencoder, EmbedderTraining, Experiment, launch

experiment = Experiment(
    name="pong-agent-frames",
    environment=Atari(game="Pong"),
    frames=AgentFrames(policy="scripted", random_share=0.2, steps=40_000),
    embedder=Autoencoder(latent_dim=256, channels=(16, 32, 32)),
    training=EmbedderTraining(updates=5_000),
)

if __name__ == "__main__":
    launch(experiment)
