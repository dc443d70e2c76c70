"""Pong: how far does an agent come whose values are linear in the latent?"""

from soft_specification import SoftAgent

from rlmaster import AgentTraining, Atari, Experiment, PixelEncoder, launch

experiment = Experiment(
    name="pong-soft",
    environment=Atari(game="Pong", protocol="classic"),
    embedder=PixelEncoder(channels=(16, 32, 32), latent_dim=1568),
    agent=SoftAgent(n_step=3, warm_up_steps=5_000, exploration_steps=50_000, learning_rate=2.5e-4),
    agent_training=AgentTraining(steps=300_000, evaluations=15),
)

if __name__ == "__main__":
    launch(experiment)
