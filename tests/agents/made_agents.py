"""Small agents of any switches, noise to try them on, and what tells whether they change."""

import torch
from torch import Tensor, nn
from toy import agent_of

from rlmaster.agent_choices import ValueAgent
from rlmaster.agents.value_agent import ValueBasedAgent
from rlmaster.replay.batches import TransitionBatch

EVERY_SWITCH = {"double": True, "dueling": True, "noisy": True, "categorical": True}


def agent(embedder=None, encoder=None, *, num_actions=3, **fields) -> ValueBasedAgent:
    """Return an agent with three actions and few units."""
    specification = ValueAgent(**{"hidden_units": 8, **fields})
    parts = {} if embedder is None else {"embedder": embedder}
    return agent_of(specification, encoder=encoder, num_actions=num_actions, **parts)


def random_batch(count: int = 16, *, num_actions: int = 3, seed: int = 3) -> TransitionBatch:
    """Return frames of noise, every fourth transition at the end of an episode."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 4, 84, 84)
    frames = torch.randint(256, (2, *shape), generator=generator, dtype=torch.uint8)
    over = torch.arange(count) % 4 == 0
    return TransitionBatch(
        observation=frames[0],
        action=torch.randint(num_actions, (count,), generator=generator),
        reward=4 * torch.rand(count, generator=generator) - 2,
        discount=torch.where(over, 0.0, 0.97),
        next_observation=frames[1],
        importance_weight=torch.rand(count, generator=generator),
        index=torch.arange(count),
    )


def randomise(module: nn.Module, seed: int = 5) -> None:
    """Give a network other weights, in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))


def copied(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all weights and buffers."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def is_unchanged(module: nn.Module, before: dict[str, Tensor]) -> bool:
    """Tell whether every weight and buffer is the same to the last bit."""
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
