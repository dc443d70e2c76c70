"""Pong: does the double target help the deep Q-network?

Van Hasselt et al. (2016), with the budget of pong_dqn.py.
"""

from rlmaster import AgentTraining, Atari, DoubleDQN, Experiment, PixelEncoder, launch

experiment = Experiment(
    name="pong-double-dqn",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=PixelEncoder(),
    agent=DoubleDQN(),
    agent_training=AgentTraining(steps=10_000_000),
)

if __name__ == "__main__":
    launch(experiment)
