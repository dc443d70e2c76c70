"""Pong: can an agent play by what an autoencoder has learned to keep?

Run pong_autoencoder.py first. Where there are several of its runs, say which one:
`--set encoder.weights=RUN`.
"""

from rlmaster import (
    AgentTraining,
    Atari,
    Autoencoder,
    EncoderTraining,
    Experiment,
    FastAgent,
    launch,
)

experiment = Experiment(
    name="pong-frozen-autoencoder",
    environment=Atari(game="Pong"),
    embedder=Autoencoder(latent_dim=256, channels=(16, 32, 32)),
    agent=FastAgent(),
    agent_training=AgentTraining(steps=200_000, evaluations=8),
    encoder=EncoderTraining(weights="pong-autoencoder", losses="none"),
)

if __name__ == "__main__":
    launch(experiment)
