"""One step of an optimiser down the gradient of a loss: plain, or compiled as a whole.

torch.compile ends its graph where a gradient is asked for, unless it is told to follow, and an
optimiser wants that gradient as a tensor beside each weight. On a processor both cost much of an
update, for all weights are read and written several times over. In one graph a gradient steps its
weight while it is still at hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Adam, Optimizer, RMSprop
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop

from rlmaster.agents.base import AgentLoss
from rlmaster.embedders.base import EmbedderLoss

AVERAGES = {Adam: ("exp_avg", "exp_avg_sq"), RMSprop: ("square_avg", "grad_avg")}
"""What an optimiser remembers of each weight's gradients, beside the number of steps."""

Batch = TypeVar("Batch")
Loss = TypeVar("Loss", AgentLoss, EmbedderLoss)


def plain_step(
    loss: Callable[[Batch], Loss],
    optimiser: Optimizer,
    *,
    max_gradient_norm: float | None = None,
    step: Callable[[], object] | None = None,
) -> Callable[[Batch], Loss]:
    """Return what makes the loss of a batch, steps the weights by its gradient, and returns it.

    Args:
        loss: May be compiled.
        optimiser: Steps its weights.
        max_gradient_norm: Norm above which the gradient is scaled down.
        step: The optimiser's step, where that is compiled.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    step = step or optimiser.step

    def stepped(batch: Batch) -> Loss:
        optimiser.zero_grad(set_to_none=True)
        made = loss(batch)
        made.total.backward()
        if max_gradient_norm is not None:
            clip_grad_norm_(weights, max_gradient_norm)
        step()
        return made

    return stepped


def can_be_whole(optimiser: Optimizer) -> TypeGuard[Adam | RMSprop]:
    """Tell whether an optimiser's step and the loss can be compiled into one graph.

    Not with weight decay that is added to the gradient: torch 2.13 compiles `gradient.add(weight,
    alpha=decay)` as if alpha was 1, where the gradient is a product of matrices.
    """
    groups = optimiser.param_groups
    weights = [weight for group in groups for weight in group["params"]]
    follows_gradients = hasattr(torch._dynamo.config, "trace_autograd_ops")  # torch 2.13 does
    on_processor = all(weight.device.type == "cpu" for weight in weights)
    adds_decay = any(
        group["weight_decay"] and not group.get("decoupled_weight_decay") for group in groups
    )
    return type(optimiser) in AVERAGES and on_processor and follows_gradients and not adds_decay


def whole_step(
    loss: Callable[[Batch], Loss],
    optimiser: Adam | RMSprop,
    *,
    max_gradient_norm: float | None = None,
) -> Callable[[Batch], Loss]:
    """Return the same as `plain_step`, compiled as a whole.

    What torch cannot follow into one graph, such as a loss of one's own, becomes several.

    Args:
        loss: Not compiled.
        optimiser: What it remembers must stay where it is in memory, so a checkpoint is loaded
            before.
        max_gradient_norm: Norm above which the gradient is scaled down.
    """
    groups = [
        (group, weight)
        for group in optimiser.param_groups
        for weight in group["params"]
        if weight.requires_grad
    ]
    weights = [weight for _, weight in groups]
    memories = [_memory_of(weight, optimiser) for weight in weights]
    step = _adam_step if isinstance(optimiser, Adam) else _rmsprop_step

    def stepped(batch: Batch) -> Loss:
        made = loss(batch)
        gradients = torch.autograd.grad(made.total, weights, allow_unused=True)
        with torch.no_grad():
            if max_gradient_norm is not None:
                gradients = _clipped(gradients, max_gradient_norm)
            for (group, weight), gradient, memory in zip(groups, gradients, memories, strict=True):
                if gradient is not None:
                    step(weight, gradient, memory, group)
        return replace(made, total=made.total.detach())

    torch._dynamo.config.trace_autograd_ops = True
    return torch.compile(stepped)


def _memory_of(weight: Tensor, optimiser: Adam | RMSprop) -> dict[str, Tensor]:
    """Return what an optimiser remembers of a weight, which begins here where it has not yet."""
    memory = optimiser.state[weight]
    if not memory:
        memory["step"] = torch.zeros(())
        memory.update((name, torch.zeros_like(weight)) for name in AVERAGES[type(optimiser)])
    return memory


def _clipped(gradients: Sequence[Tensor | None], max_norm: float) -> list[Tensor | None]:
    """Return gradients scaled down as `clip_grad_norm_` does."""
    norm = get_total_norm([gradient for gradient in gradients if gradient is not None])
    scale = (max_norm / (norm + 1e-6)).clamp(max=1)
    return [None if gradient is None else gradient * scale for gradient in gradients]


def _adam_step(
    weight: Tensor, gradient: Tensor, memory: dict[str, Tensor], group: dict[str, Any]
) -> None:
    beta1, beta2 = group["betas"]
    adam(
        [weight],
        [gradient],
        [memory["exp_avg"]],
        [memory["exp_avg_sq"]],
        [],
        [memory["step"]],
        amsgrad=False,
        maximize=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        eps=group["eps"],
        weight_decay=group["weight_decay"],
        decoupled_weight_decay=group["decoupled_weight_decay"],
    )


def _rmsprop_step(
    weight: Tensor, gradient: Tensor, memory: dict[str, Tensor], group: dict[str, Any]
) -> None:
    rmsprop(
        [weight],
        [gradient],
        [memory["square_avg"]],
        [memory["grad_avg"]],
        [],
        [memory["step"]],
        lr=group["lr"],
        alpha=group["alpha"],
        eps=group["eps"],
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        centered=group["centered"],
    )
