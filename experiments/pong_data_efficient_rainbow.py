"""Pong: how far does Rainbow come in 100,000 agent steps?

Van Hasselt et al. (2019), under the protocol that such results are reported in.
"""

from rlmaster import (
    AgentTraining,
    Atari,
    DataEfficientRainbow,
    Experiment,
    PixelEncoder,
    launch,
)

experiment = Experiment(
    name="pong-data-efficient-rainbow",
    environment=Atari(game="Pong", protocol="atari_100k", num_environments=1),
    embedder=PixelEncoder(encoder="data_efficient", latent_dim=576),
    agent=DataEfficientRainbow(),
    agent_training=AgentTraining(steps=100_000, evaluations=5),
)

if __name__ == "__main__":
    launch(experiment)
