"""Telling the action between two observations from their latents.

Source: Pathak et al. (2017), equation 2.
Shapes: B batch, L latent, A actions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

HIDDEN_UNITS = 256
"""Width of the layer between latents and actions, as in Pathak et al. (2017), section 4."""
UNKNOWN = -1
"""Stands for an action that was not taken, or is not known."""


class ActionHead(nn.Module):
    """Two latents in, the logits of the action between them out."""

    def __init__(self, latent_dim: int, num_actions: int) -> None:
        """Build the layers.

        Args:
            latent_dim: L.
            num_actions: A.
        """
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * latent_dim, HIDDEN_UNITS),
            nn.ReLU(),
            nn.Linear(HIDDEN_UNITS, num_actions),
        )

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Return logits `(B, A)` of latents `(B, L)` before and after."""
        return self.layers(torch.cat([before, after], 1))


def action_error(logits: Tensor, actions: Tensor) -> Tensor:
    """Return the mean cross-entropy, in nats; 0 where no action is known.

    Args:
        logits: `(B, A)`, float32.
        actions: `(B,)` int64, -1 where unknown.
    """
    total = functional.cross_entropy(logits, actions, ignore_index=UNKNOWN, reduction="sum")
    return total / _known(actions)


def action_accuracy(logits: Tensor, actions: Tensor) -> Tensor:
    """Return the share of known actions that are the likeliest, in [0, 1].

    Args:
        logits: `(B, A)`.
        actions: `(B,)` int64, -1 where unknown.
    """
    return (logits.detach().argmax(1) == actions).sum() / _known(actions)


def _known(actions: Tensor) -> Tensor:
    return (actions != UNKNOWN).sum().clamp(min=1)
