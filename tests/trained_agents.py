"""Runs that trained an agent, as training leaves them, with a tiny agent of random weights."""

from pathlib import Path
from typing import Any

import torch
from made_runs import set_state
from torch import Tensor

from rlmaster.agent_choices import DoubleDQN
from rlmaster.agents.base import BaseAgent, build_agent
from rlmaster.embedder_choices import Autoencoder
from rlmaster.experiment import Atari, Experiment
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State
from rlmaster.training.checkpoint import capture, write_best, write_checkpoint


def tiny_player(game: str = "pong", **fields: Any) -> Experiment:
    """Return an experiment whose agent is tiny."""
    parts = {
        "name": "player",
        "environment": Atari(game=game, protocol="classic", num_environments=2),
        "embedder": Autoencoder(latent_dim=8, channels=(2, 2, 2)),
        "agent": DoubleDQN(hidden_units=8, dueling=True),
        "agent_training": {"evaluation_episodes": 3, "evaluation_exploration": 0.0},
    }
    return Experiment(**(parts | fields))


def make_player_run(
    runs: Path, experiment: Experiment | None = None, *, seed: int = 1
) -> RunFolder:
    """Make a completed run of such an agent, with a checkpoint that is also the best."""
    experiment = experiment or tiny_player()
    run = RunFolder.create(
        runs,
        config=experiment.to_data(),
        rationale="why",
        provenance={},
        digests={},
        differs_from_default=[],
    )
    keep_agent(run, seed=seed)
    set_state(run, State.COMPLETED)
    return run


def keep_agent(
    run: RunFolder, step: int = 500, *, seed: int = 1, seen: Tensor | None = None
) -> BaseAgent:
    """Let a run have kept its agent, with random weights of a seed, and return that.

    Where all actions are worth the same on average over what is `seen`, the best one changes.
    """
    torch.manual_seed(seed)
    agent: Any = build_agent(Experiment.from_data(run.config()))
    if seen is not None:
        bias = agent.head.advantage[-1].bias
        bias.data -= agent.head(agent.encoder(seen)).mean(0).squeeze(1).detach()
    optimiser = torch.optim.Adam(agent.parameters())
    checkpoint = capture(step, agent, optimiser, {"updates": step, "unit": "step"})
    write_best(run.checkpoints, checkpoint)
    write_checkpoint(run.checkpoints, checkpoint)
    return agent.eval()
