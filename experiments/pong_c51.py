"""Pong: are distributions of returns worth their atoms?

Bellemare et al. (2017), with the budget of pong_dqn.py.
"""

from rlmaster import C51, AgentTraining, Atari, Experiment, PixelEncoder, launch

experiment = Experiment(
    name="pong-c51",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=PixelEncoder(),
    agent=C51(),
    agent_training=AgentTraining(steps=10_000_000),
)

if __name__ == "__main__":
    launch(experiment)
