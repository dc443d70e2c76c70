"""Agents that were trained before, as they play: greedily, with the weights of a checkpoint.

A run whose frames such an agent plays was given its weights and its configuration at the launch.
The weights may also be those of an exported policy, which holds only what acting needs.
"""

from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from rlmaster.agents.base import BaseAgent, build_agent
from rlmaster.atari.environment import Step
from rlmaster.atari.policies import Actions, Ram
from rlmaster.durable_files import read_json
from rlmaster.embedders.base import load_networks
from rlmaster.errors import RunFolderError, TrainingError, UsageError
from rlmaster.experiment import Experiment
from rlmaster.policy_folder import PolicyFolder
from rlmaster.run_folder import RunFolder
from rlmaster.training.acting_weights import needed_to_act
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
    """Build the agent that an experiment names, with given weights, in evaluation mode.

    They are a checkpoint's, or just what acting needs, of any precision. What is lacking
    then is NaN in the agent, so that nobody takes what an untrained decoder draws for a picture.

    Raises:
        TrainingError: If the experiment has no agent, or the weights are of another one.
    """
    agent = build_agent(experiment)
    own = agent.state_dict()
    lacking = own.keys() - networks.keys()
    load_networks(agent, {**own, **networks})
    if lacking:
        needed = needed_to_act(agent, experiment)
        if lacking != own.keys() - needed:
            raise TrainingError(
                f"these weights are of other networks than {type(agent).__name__} builds: "
                f"{min(lacking & needed or lacking)} is not among them"
            )
    for weight in (own[name] for name in lacking):
        if weight.is_floating_point():
            weight.fill_(torch.nan)
    to_channels_last(agent)  # as it was when it was measured
    return agent.eval()


def read_policy(folder: PolicyFolder) -> BaseAgent:
    """Return the agent of an exported policy, on the processor and in evaluation mode.

    Raises:
        UsageError: If the folder holds no policy.
        TrainingError: If its weights are damaged, or do not fit their configuration.
        SpecificationError: If this version no longer knows a field of that.
    """
    config = read_json(folder.config_file)
    if config is None or not folder.weights_file.is_file():
        raise UsageError(
            f"{folder.path} is no policy, which is {folder.weights_file.name} and the "
            f"{folder.config_file.name} that it was trained with; `rlmaster export` writes both"
        )
    try:
        return load_agent(Experiment.from_data(config), load(folder.weights_file.read_bytes()))
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{folder.weights_file} cannot be read ({error}); export the policy again"
        ) from error


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
