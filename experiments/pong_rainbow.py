"""Pong: what do six improvements bring together?

Hessel et al. (2018), with the budget of pong_dqn.py.
"""

from rlmaster import AgentTraining, Atari, Experiment, PixelEncoder, Rainbow, launch

experiment = Experiment(
    name="pong-rainbow",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=PixelEncoder(),
    agent=Rainbow(),
    agent_training=AgentTraining(steps=10_000_000),
)

if __name__ == "__main__":
    launch(experiment)
