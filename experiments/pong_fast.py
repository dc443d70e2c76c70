"""Pong: how soon does an agent beat the game on two processor cores?

Three quarters of an hour on one of them. Small networks of 84x84 pixels, which learn from the
agent's own loss alone.
"""

from rlmaster import AgentTraining, Atari, Experiment, FastAgent, PixelEncoder, launch

experiment = Experiment(
    name="pong-fast",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=PixelEncoder(channels=(16, 32, 32), latent_dim=1568),
    agent=FastAgent(),
    agent_training=AgentTraining(steps=400_000, evaluations=20),
)

if __name__ == "__main__":
    launch(experiment)
