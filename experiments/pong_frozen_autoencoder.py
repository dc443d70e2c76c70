"""Pong: can an agent play by what an autoencoder has learned to keep?

Run pong_stack_autoencoder.py first: of its runs that of the same seed is taken, or the one that
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
    name="pong-frozen-autoencoder",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=Autoencoder(stacked_frames=4, latent_dim=256, channels=(16, 32, 32)),
    agent=FastAgent(),
    agent_training=AgentTraining(steps=60_000, evaluations=6),
    encoder=EncoderTraining(weights="pong-stack-autoencoder", losses="none"),
)

if __name__ == "__main__":
    launch(experiment)
