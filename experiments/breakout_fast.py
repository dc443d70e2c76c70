"""Breakout: how far does an agent come in half an hour?

The settings of pong_fast.py, on one processor core.
"""

from rlmaster import AgentTraining, Atari, Experiment, FastAgent, PixelEncoder, launch

experiment = Experiment(
    name="breakout-fast",
    environment=Atari(game="Breakout", protocol="classic"),
    embedder=PixelEncoder(channels=(16, 32, 32), latent_dim=1568),
    agent=FastAgent(),
    agent_training=AgentTraining(steps=300_000, evaluations=15),
)

if __name__ == "__main__":
    launch(experiment)
