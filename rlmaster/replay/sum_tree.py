"""A tree of sums, to draw leaves in proportion to their values, all leaves of a batch at once.

Every node has 128 children, so a million leaves are two levels, and each level is a few calls for
the whole batch. No value is read back, so a GPU never waits for the host.

Shapes: B leaves of a batch, N leaves, F children of a node.
"""

import torch
from torch import Tensor

CHILDREN = 128
LARGEST_TOP = 8192
"""Nodes of the highest level, among which one cumulative sum chooses; at least CHILDREN."""


class SumTree:
    """Leaves with values of at least 0, and the sums above them.

    A sum is always computed anew from its children, so it depends on the leaves alone: a tree that
    is given the same leaves draws the same.
    """

    def __init__(self, num_leaves: int, device: torch.device) -> None:
        """Make a tree whose leaves are all 0."""
        self._levels: list[Tensor] = []
        nodes = num_leaves
        while not self._levels or len(self._levels[-1]) > LARGEST_TOP:
            padded = -(-nodes // CHILDREN) * CHILDREN
            self._levels.append(torch.zeros(padded, dtype=torch.float64, device=device))
            nodes = padded // CHILDREN
        self._top_sums = self._levels[-1].cumsum(0)
        self._num_leaves = num_leaves

    @property
    def leaves(self) -> Tensor:
        """Values of the leaves, `(N,)` float64."""
        return self._levels[0][: self._num_leaves]

    @property
    def total(self) -> Tensor:
        """Sum of all leaves, `()` float64."""
        return self._top_sums[-1]

    @property
    def num_bytes(self) -> int:
        """Memory that the tree takes."""
        return sum(level.nbytes for level in self._levels)

    def set(self, leaves: Tensor, values: Tensor) -> None:
        """Give some leaves new values, `(B,)` each."""
        self._levels[0][leaves] = values.to(torch.float64)
        nodes = leaves
        for below, above in zip(self._levels[:-1], self._levels[1:], strict=True):
            nodes = nodes // CHILDREN
            children = below.view(-1, CHILDREN).index_select(0, nodes)  # (B, F)
            above[nodes] = children.cumsum(1)[:, -1]
        self._top_sums = self._levels[-1].cumsum(0)

    def set_all(self, values: Tensor) -> None:
        """Give all leaves new values, `(N,)`."""
        self._levels[0][: self._num_leaves] = values
        for below, above in zip(self._levels[:-1], self._levels[1:], strict=True):
            nodes = len(below) // CHILDREN
            above[:nodes] = below.view(-1, CHILDREN).cumsum(1)[:, -1]
        self._top_sums = self._levels[-1].cumsum(0)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Draw leaves in proportion to their values, `(B,)` int64; a leaf of 0 is never drawn.

        The highest level is drawn from B equal strata of the total, as in Schaul et al. (2016),
        appendix B.2.1.
        """
        device = self._top_sums.device
        # float32 below 1: in float64 its product with a sum is below that sum, and so is the share
        # of the total in the last stratum.
        shape = (len(self._levels), batch_size, 1)
        random = torch.rand(shape, generator=generator, device=device).to(torch.float64)
        strata = torch.arange(batch_size, device=device)
        wanted = (strata + random[0, :, 0]) * (self.total / batch_size)
        nodes = torch.searchsorted(self._top_sums, wanted, right=True)
        for number in range(len(self._levels) - 2, -1, -1):
            children = self._levels[number].view(-1, CHILDREN)
            sums = children.index_select(0, nodes).cumsum(1)  # (B, F)
            # A share of the children's own last sum: rounding cannot lead past them.
            within = random[1 + number] * sums[:, -1:]
            child = torch.searchsorted(sums, within, right=True)
            nodes = nodes * CHILDREN + child.view(-1)
        return nodes
