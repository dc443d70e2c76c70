"""A gradient step that is compiled as a whole is the plain one, and really is one graph."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.optim import SGD, Adam, Optimizer, RMSprop

from rlmaster.embedders.base import EmbedderLoss
from rlmaster.training.gradient_step import can_be_whole, plain_step, whole_step

pytestmark = [
    pytest.mark.learns,
    pytest.mark.skipif(" " in torch.__file__, reason="torch.compile cannot link from such a path"),
]

BATCHES = [torch.randn(8, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(6)]


@pytest.fixture(autouse=True)
def _compiled_anew() -> None:
    """Forget what other tests compiled, of which torch keeps only so much for one function."""
    torch._dynamo.reset()


def optimiser(name: str, network: nn.Module) -> Optimizer:
    """Return one of each kind, with two groups of weights."""
    first, *others = network.parameters()
    if name == "rmsprop":
        groups = [{"params": [first], "lr": 0.1}, {"params": others}]
        return RMSprop(groups, lr=0.01, eps=0.01, centered=True)
    groups = [{"params": [first], "lr": 0.1}, {"params": others, "weight_decay": 0.5}]
    return Adam(groups, lr=0.01, fused=True, decoupled_weight_decay=True)


class Network(nn.Module):
    """Layers that learn, one that follows the batches, noise, and one that nothing ever uses."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        self.unused = nn.Linear(3, 3)

    def loss(self, batch: Tensor) -> EmbedderLoss:
        error = self.layers(batch) - batch.sum(1, keepdim=True)
        return EmbedderLoss(error.square().mean(), {"largest": error.detach().abs().max()})


class Asking(Network):
    """One of somebody's own, which decides in Python by a number that it waits for."""

    def loss(self, batch: Tensor) -> EmbedderLoss:
        made = super().loss(batch)
        return EmbedderLoss(made.total * 2) if float(made.total.detach()) > 1 else made


def states(network: Network, stepping: Optimizer) -> Iterator[Tensor]:
    """Yield all that steps change."""
    yield from network.state_dict().values()
    for memory in stepping.state.values():
        yield from memory.values()


def stepped(kind: str, name: str, network: Network, **options: float) -> list[Tensor]:
    """Return losses, and all that has changed, after a step with each batch."""
    stepping = optimiser(name, network)
    make = plain_step if kind == "plain" else whole_step
    step = make(network.loss, stepping, **options)
    losses = [step(batch).total.detach() for batch in BATCHES]
    used = [memory for memory in states(network, stepping) if memory.any()]
    return [*losses, *used]


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
@pytest.mark.parametrize("options", [{}, {"max_gradient_norm": 0.5}])
@pytest.mark.parametrize("of", [Network, Asking])
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch, where a graph ends in a loss
def test_it_changes_what_the_plain_one_changes(
    name: str, options: dict[str, float], of: type[Network]
) -> None:
    plain, whole = (stepped(kind, name, of(), **options) for kind in ("plain", "whole"))
    for one, other in zip(plain, whole, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_it_is_one_graph(name: str) -> None:
    counters.clear()
    stepped("whole", name, Network(), max_gradient_norm=0.5)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_it_goes_on_from_what_was_kept_bit_by_bit(name: str) -> None:
    whole = Network()
    stepping = optimiser(name, whole)
    step = whole_step(whole.loss, stepping)
    for batch in BATCHES[:3]:
        step(batch)
    kept = copy.deepcopy((whole.state_dict(), stepping.state_dict()))
    for batch in BATCHES[3:]:
        step(batch)

    resumed = Network()
    resumed_stepping = optimiser(name, resumed)
    resumed.load_state_dict(kept[0])
    resumed_stepping.load_state_dict(kept[1])
    step = whole_step(resumed.loss, resumed_stepping)
    for batch in BATCHES[3:]:
        step(batch)

    for one, other in zip(states(whole, stepping), states(resumed, resumed_stepping), strict=True):
        assert torch.equal(one, other)


def test_only_optimisers_that_compile_rightly_are_compiled_with_the_loss() -> None:
    weights = list(Network().parameters())
    assert all(can_be_whole(optimiser(name, Network())) for name in ("adam", "rmsprop"))
    assert not can_be_whole(SGD(weights))
    assert not can_be_whole(Adam(weights, weight_decay=0.5))
    assert not can_be_whole(RMSprop(weights, weight_decay=0.5, centered=True))
