"""Proportional prioritisation: which transitions are drawn more often, and the correction for it.

Source: Schaul et al. (2016), section 3.3 and 3.4.
Shapes: B batch, C cells of the store.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlmaster.replay.sum_tree import SumTree

SMALLEST_PRIORITY = 1e-6
"""So that a transition that was predicted well may be drawn again."""


@dataclass(frozen=True)
class Priorities:
    """How much more often some transitions are drawn; defaults from the paper's table 3."""

    exponent: float = 0.6
    """alpha: 0 draws uniformly, 1 in proportion to the priorities."""
    importance_exponent: float = 0.4
    """beta at the start: 1 corrects the gradient fully for what is drawn more often."""


class PrioritisedDraw:
    """Draws cells in proportion to priority ** alpha; a cell that is not offered has none.

    Attributes:
        tree: priority ** alpha of each cell.
        largest: Largest of them so far, which new transitions are given, `()` float64.
    """

    def __init__(self, priorities: Priorities, num_cells: int, device: torch.device) -> None:
        """Offer nothing."""
        self.tree = SumTree(num_cells, device)
        self.largest = torch.ones((), dtype=torch.float64, device=device)
        self._exponent = priorities.exponent

    def offer(self, new: Tensor, gone: Tensor) -> None:
        """Give new cells the largest priority, and those that are gone none."""
        values = self.largest.expand(len(new) + len(gone)).clone()
        values[len(new) :] = 0
        self.tree.set(torch.cat([new, gone]), values)

    def draw(
        self, batch_size: int, importance_exponent: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw cells.

        Returns:
            Cells, `(B,)`, and their importance weights `(N * P) ** -beta`, divided by the largest
            of the batch, `(B,)`.
        """
        cells = self.tree.draw(batch_size, generator)
        # N and the sum of all priorities are the same for all, and so vanish in the division.
        weight = self.tree.leaves.take(cells) ** -importance_exponent
        return cells, weight / weight.max()

    def update(self, cells: Tensor, priority: Tensor, current: Tensor) -> None:
        """Give cells new priorities.

        Args:
            cells: Which, `(B,)`.
            priority: Absolute TD error or the like, at least 0, `(B,)`; what is not a number, or
                infinite, counts as the smallest, for it would poison all sums.
            current: Whether the cell still holds what the priority is of, `(B,)`.
        """
        current = current & (self.tree.leaves.take(cells) > 0)
        priority = priority.to(torch.float64).nan_to_num(nan=0.0, posinf=0.0)
        values = priority.clamp(min=SMALLEST_PRIORITY) ** self._exponent
        values = torch.where(current, values, 0.0)
        self.largest = torch.maximum(self.largest, values.max())
        # Cell 0 is never offered, so what is gone may be written there.
        self.tree.set(torch.where(current, cells, 0), values)
