"""Pong: how soon does an agent beat the game on two processor cores?

About an hour. Small networks of 84x84 pixels, all from the agent's own loss.
"""

from rlmaster import AgentTraining, Atari, Experiment, FastAgent, PixelEncoder, launch

experiment = Experiment(
    name="pong-fast",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=PixelEncoder(),
    agent=FastAgent(),
    agent_training=AgentTraining(steps=700_000),
)

if __name__ == "__main__":
    launch(experiment)
