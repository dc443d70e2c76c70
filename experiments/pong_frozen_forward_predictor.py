"""Pong: can an agent play by what a forward predictor has learned to keep?

Run pong_forward_predictor.py first: of its runs that of the same seed is taken, or the one that
`--set encoder.weights=RUN` names.
"""

from rlmaster import (
    AgentTraining,
    Atari,
    EncoderTraining,
    Experiment,
    FastAgent,
    ForwardPredictor,
    launch,
)

experiment = Experiment(
    name="pong-frozen-forward-predictor",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=ForwardPredictor(latent_dim=256, channels=(16, 32, 32)),
    agent=FastAgent(),
    agent_training=AgentTraining(steps=60_000, evaluations=6),
    encoder=EncoderTraining(weights="pong-forward-predictor", losses="none"),
)

if __name__ == "__main__":
    launch(experiment)
