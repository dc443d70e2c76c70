"""One update of an agent by its temporal differences, as fast as the processor allows.

Shapes: B batch.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer, RMSprop

from rlmaster.agent_choices import LearningAgent
from rlmaster.agents.base import AgentLoss, BaseAgent
from rlmaster.experiment import EncoderTraining
from rlmaster.replay.batches import TransitionBatch
from rlmaster.training.captured_update import CapturedUpdate, can_be_captured
from rlmaster.training.gradient_step import can_be_whole, plain_step, whole_step
from rlmaster.training.update import (
    AgentUpdate,
    Compilation,
    Losses,
    compilation_by_trial,
    fused,
    kept,
    losses_of,
)

RMSPROP_DECAY = 0.95
"""Mnih et al. (2015), extended data table 1: both gradient momenta."""

Act = Callable[[Tensor], Tensor]
"""Takes observations `(N, K, H, W)`, or latents of them, and returns actions `(N,)` int64."""


def make_agent_optimiser(
    agent: BaseAgent, specification: LearningAgent, encoder: EncoderTraining
) -> Optimizer:
    """Return what steps the weights that temporal differences may change.

    Adam is fused into one kernel. Of RMSProp there is one difference to the paper's: it adds its
    epsilon to the root instead of to what is under it.
    """
    groups = [{"params": list(agent.head_parameters()), "lr": specification.learning_rate}]
    if encoder.losses in ("td", "both"):
        weights = [weight for weight in agent.encoder.parameters() if weight.requires_grad]
        rate = encoder.learning_rate or specification.learning_rate
        groups.append({"params": weights, "lr": rate})
    epsilon = specification.optimiser_epsilon
    on_gpu = next(agent.parameters()).is_cuda
    if specification.optimiser == "rmsprop":
        return RMSprop(groups, alpha=RMSPROP_DECAY, eps=epsilon, centered=True, capturable=on_gpu)
    return Adam(groups, eps=epsilon, fused=True, capturable=on_gpu)


def make_act(agent: BaseAgent, precision: torch.dtype, *, compiled: bool) -> Act:
    """Return how the agent acts while it learns: in the arithmetic of its updates.

    Args:
        agent: The networks; they stay on their device.
        precision: Arithmetic of the networks.
        compiled: Whether torch.compile fuses them.
    """
    device_type = next(agent.parameters()).device.type
    mixed = precision is not torch.float32

    def greedy(observation: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(device_type, precision, enabled=mixed):
            return agent.act(observation)

    return fused(greedy, device_type) if compiled else greedy


def make_agent_update(
    agent: BaseAgent,
    optimiser: Optimizer,
    precision: torch.dtype,
    *,
    compiled: bool,
    max_gradient_norm: float | None = None,
) -> AgentUpdate:
    """Return the update of an agent.

    Args:
        agent: The networks; they stay on their device.
        optimiser: What steps their weights.
        precision: Arithmetic of the networks.
        compiled: Whether torch.compile fuses all, and it becomes a CUDA graph where it can.
        max_gradient_norm: Norm above which the gradient is scaled down.
    """
    device_type = next(agent.parameters()).device.type
    mixed = precision is not torch.float32

    def loss(batch: TransitionBatch) -> AgentLoss:
        with torch.autocast(device_type, precision, enabled=mixed):
            return agent.loss(batch)

    captured = compiled and can_be_captured(agent, optimiser)
    if compiled and can_be_whole(optimiser):
        step = whole_step(loss, optimiser, max_gradient_norm=max_gradient_norm)
    else:
        forward = loss
        if compiled:
            forward = torch.compile(loss) if captured else fused(loss, device_type)
        has_kernel = isinstance(optimiser, Adam)
        step = plain_step(
            forward,
            optimiser,
            max_gradient_norm=max_gradient_norm,
            step=torch.compile(optimiser.step) if compiled and not has_kernel else None,
        )

    def update(batch: TransitionBatch) -> tuple[Losses, Tensor]:
        made = step(batch)
        return losses_of(made), kept(made.priority)

    return CapturedUpdate(update, agent) if captured else update


def choose_agent_compilation(
    agent: BaseAgent,
    specification: LearningAgent,
    encoder: EncoderTraining,
    precision: torch.dtype,
    batch: TransitionBatch,
) -> Compilation:
    """Decide by trying on copies of the agent whether torch.compile pays."""

    def copied_update(compiled: bool) -> Callable[[], Losses]:
        trial = copy.deepcopy(agent)
        optimiser = make_agent_optimiser(trial, specification, encoder)
        update = make_agent_update(
            trial,
            optimiser,
            precision,
            compiled=compiled,
            max_gradient_norm=specification.max_gradient_norm,
        )
        return lambda: update(batch)[0]

    return compilation_by_trial(copied_update, next(agent.parameters()).device)
