"""Pong: how far does the deep Q-network of 2015 come?

Mnih et al. (2015) with ten million agent steps: days on two processor cores, hours on a GPU.
"""

from rlmaster import DQN, AgentTraining, Atari, Experiment, PixelEncoder, launch

experiment = Experiment(
    name="pong-dqn",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=PixelEncoder(),
    agent=DQN(),
    agent_training=AgentTraining(steps=10_000_000),
)

if __name__ == "__main__":
    launch(experiment)
