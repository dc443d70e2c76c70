"""Pong: is an autoencoder a better beginning than random weights?

Run pong_autoencoder.py first: of its runs that of the same seed is taken, or the one that
`--set encoder.weights=RUN` names.
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
