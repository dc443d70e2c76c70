"""Pong: what is the return of somebody who does not look?

What every other agent has to beat; a minute.
"""

from rlmaster import AgentTraining, Atari, Experiment, PixelEncoder, RandomAgent, launch

experiment = Experiment(
    name="pong-random-agent",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=PixelEncoder(),
    agent=RandomAgent(),
    agent_training=AgentTraining(steps=10_000, evaluations=3),
)

if __name__ == "__main__":
    launch(experiment)
