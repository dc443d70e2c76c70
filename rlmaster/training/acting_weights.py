"""The weights that an agent needs to play, and no others: no target networks, no decoder.

Nobody lists them by name, so that it holds for agents and embedders of one's own too: an agent acts
once, and what its calculation touches is what it needs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rlmaster.agents.base import BaseAgent
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.embedders.base import undisturbed
from rlmaster.experiment import Experiment
from rlmaster.networks import FRAME_SIZE


def needed_to_act(agent: BaseAgent, experiment: Experiment) -> set[str]:
    """Return the names of the weights and buffers that greedy actions depend on.

    Args:
        agent: Who acts; neither its weights nor torch's random streams change.
        experiment: Says how many frames an observation has.
    """
    weights = agent.state_dict(keep_vars=True)
    stacked = PROTOCOLS[experiment.environment.protocol].stacked_frames
    device = next(iter(weights.values())).device
    black = torch.zeros(1, stacked, FRAME_SIZE, FRAME_SIZE, dtype=torch.uint8, device=device)
    with undisturbed(agent), _Touched() as touched:
        agent.act(black)
    return {name for name, weight in weights.items() if id(weight) in touched.tensors}


def acting_weights(agent: BaseAgent, experiment: Experiment) -> dict[str, Tensor]:
    """Return what acting needs, on the processor: learned weights rounded to float16.

    float16 and not bfloat16, which has an eighth of its precision; weights need no wider range, and
    a tensor that does stays as it is. So do buffers: they are small, and a background, say, is
    subtracted from pixels that are often exactly the same.
    """
    needed = needed_to_act(agent, experiment)
    learned = dict(agent.named_parameters())
    return {
        name: (_rounded(weight) if name in learned else weight).to("cpu").contiguous().clone()
        for name, weight in agent.state_dict().items()
        if name in needed
    }


def _rounded(weight: Tensor) -> Tensor:
    half = weight.half() if weight.is_floating_point() else weight
    return half if torch.equal(half.isfinite(), weight.isfinite()) else weight


class _Touched(TorchFunctionMode):
    """Notes every tensor that a function of torch is given."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: set[int] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        kwargs = kwargs or {}
        self.tensors |= {id(tensor) for tensor in _tensors_in([*args, *kwargs.values()])}
        return func(*args, **kwargs)


def _tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):  # as torch.cat is given them
            yield from _tensors_in(value)
