"""Tiny runs in which an agent plays short games, and mostly learns from them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rlmaster.agent_choices import DoubleDQN
from rlmaster.atari.environment import AtariEnvironments
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.embedder_choices import Autoencoder, PixelEncoder
from rlmaster.experiment import AgentTraining as PlayingBudget
from rlmaster.experiment import Atari, Experiment
from rlmaster.experiment import Recording as Keep
from rlmaster.run_folder import RunFolder
from rlmaster.training import canonical, play, playing
from rlmaster.training.agent_training import AgentTraining
from rlmaster.training.checkpoint import find_checkpoint, read_networks
from rlmaster.training.recording import Recording

EPISODE_STEPS = 140
"""Enough for some games of Breakout to be lost; the others are cut."""
RESEED_AFTER_STEPS = 60

SETTINGS: dict[str, Any] = {
    "warm_up_steps": 100,
    "replay_steps": 2_000,
    "updates_per_step": 0.1,
    "batch_size": 8,
    "exploration_steps": 300,
    "hidden_units": 16,
    "target_period_updates": 7,
    "learning_rate": 1e-3,
}
EXPERIMENT = Experiment(
    name="playing",
    environment=Atari(game="Breakout", protocol="classic", num_environments=4),
    embedder=PixelEncoder(channels=(4, 4, 4), latent_dim=196),
    agent=DoubleDQN(**SETTINGS),
    agent_training=PlayingBudget(
        steps=600, evaluations=3, evaluation_episodes=2, evaluation_exploration=0.1
    ),
    recording=Keep(checkpoints=3, video_episodes=0, previews=0),
    seed=1,
)
AUTOENCODER = Autoencoder(latent_dim=8, channels=(4, 4, 4), stacked_frames=4)


def shorten_games(patch: Callable[[Any, str, Any], object]) -> None:
    """Let episodes end soon, and environments be seeded anew after one or two of them.

    Canonical frames are few.
    """
    frames = EPISODE_STEPS * 4
    short = {name: replace(each, max_episode_frames=frames) for name, each in PROTOCOLS.items()}
    for module in (play, playing):
        patch(module, "PROTOCOLS", short)
    often_seeded = partial(AtariEnvironments, reseed_after_steps=RESEED_AFTER_STEPS)
    patch(play, "AtariEnvironments", often_seeded)
    patch(canonical, "ROWS", 100)
    patch(canonical, "ENVIRONMENTS", 1)


def make_run(folder: Path, experiment: Experiment = EXPERIMENT) -> RunFolder:
    """Make the folder of a run."""
    return RunFolder.create(
        folder,
        config=experiment.to_data(),
        rationale="to test",
        provenance={},
        digests={},
        differs_from_default=[],
    )


def prepared(folder: Path, experiment: Experiment = EXPERIMENT) -> AgentTraining:
    """Return a training that can begin; whoever gets it closes its recording."""
    run = make_run(folder, experiment)
    return AgentTraining(experiment, run, Recording(run))


def train(folder: Path, experiment: Experiment = EXPERIMENT, **changes: object) -> RunFolder:
    """Train to the end in this process, with some fields of the experiment changed."""
    training = prepared(folder, experiment.model_copy(update=changes))
    try:
        training.execute()
    finally:
        training.recording.close()
    return training.run


def networks_of(run: RunFolder, which: str = "newest") -> dict[str, torch.Tensor]:
    """Return the weights of one of a run's checkpoints, by default the newest."""
    return read_networks(find_checkpoint(run.checkpoints, which))
