"""Pong: is an autoencoder a better beginning than random weights?

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
    name="pong-fine-tuned",
    environment=Atari(game="Pong"),
    embedder=Autoencoder(latent_dim=256, channels=(16, 32, 32)),
    agent=FastAgent(),
    agent_training=AgentTraining(steps=200_000, evaluations=8),
    encoder=EncoderTraining(weights="pong-autoencoder", losses="td"),
)

if __name__ == "__main__":
    launch(experiment)
