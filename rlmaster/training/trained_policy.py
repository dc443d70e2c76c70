"""Agents that were trained before, as they play: greedily, with the weights of a checkpoint.

A run whose frames such an agent plays was given its weights and its configuration at the launch.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rlmaster.agents.base import BaseAgent, build_agent
from rlmaster.atari.environment import Step
from rlmaster.atari.policies import Actions, Ram
from rlmaster.durable_files import read_json
from rlmaster.embedders.base import load_networks
from rlmaster.errors import RunFolderError, TrainingError
from rlmaster.experiment import Experiment
from rlmaster.run_folder import RunFolder
from rlmaster.training.checkpoint import MANIFEST, NETWORKS, read_networks
from rlmaster.training.update import best_device, to_channels_last


class GreedyPolicy:
    """An agent as a policy: it takes the actions that look best, and draws nothing."""

    needs_ram = False

    def __init__(self, agent: BaseAgent, device: torch.device) -> None:
        """Let an agent play whose weights are on a device; its mode is the caller's business."""
        self._agent = agent
        self._device = device

    def actions(self, step: Step, ram: Ram | None) -> Actions:
        """Choose one action per environment, `(N,)`."""
        del ram
        observation = torch.from_numpy(step.observation).to(self._device)
        return self._agent.act(observation).cpu().numpy()

    def skip(self, steps: int, num_environments: int) -> None:
        """Do nothing, since every choice depends on the present observation alone."""


def load_agent(experiment: Experiment, networks: Mapping[str, Tensor]) -> BaseAgent:
    """Build the agent that an experiment names, with a checkpoint's weights, in evaluation mode.

    Raises:
        TrainingError: If the experiment has no agent, or the weights are of another one.
    """
    agent = build_agent(experiment)
    load_networks(agent, networks)
    to_channels_last(agent)  # as it was when it was measured
    return agent.eval()


def trained_policy(run: RunFolder) -> GreedyPolicy:
    """Return the agent whose weights a run was given at its launch, as a policy.

    Raises:
        TrainingError: If they are missing or damaged, or do not fit their configuration.
        SpecificationError: If this version no longer knows a field of that.
    """
    try:
        networks = read_networks(run.policy)
    except RunFolderError as error:
        raise TrainingError(f"{error}; launch the run again, which brings it along anew") from error
    try:
        agent = load_agent(Experiment.from_data(policy_config(run)), networks)
    except TrainingError as error:
        raise TrainingError(
            f"the policy in {run.policy} cannot play: {error}; launch with another frames.policy"
        ) from error
    device = best_device()
    return GreedyPolicy(agent.requires_grad_(False).to(device), device)


def policy_config(run: RunFolder) -> dict[str, Any]:
    """Return the experiment that trained a run's policy, as JSON data; empty without a policy."""
    return read_json(run.policy / run.config_file.name) or {}


def policy_checksum(run: RunFolder) -> str:
    """Return the SHA-256 of the weights of a run's policy; empty without a policy."""
    manifest = read_json(run.policy / MANIFEST) or {}
    return str(manifest.get("sha256", {}).get(NETWORKS, ""))
