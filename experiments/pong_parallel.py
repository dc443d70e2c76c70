"""Pong: can an autoencoder learn beside the agent that plays by it?

Nothing but the reconstruction changes the encoder; the agent learns from its latents as they are.
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
    name="pong-parallel",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=Autoencoder(stacked_frames=4, latent_dim=256, channels=(16, 32, 32)),
    agent=FastAgent(),
    agent_training=AgentTraining(steps=60_000, evaluations=6),
    encoder=EncoderTraining(losses="representation"),
)

if __name__ == "__main__":
    launch(experiment)
