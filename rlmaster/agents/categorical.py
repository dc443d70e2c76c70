"""Categorical returns: a distribution over a fixed support, projected after each Bellman step.

Source: Bellemare et al. (2017), section 4 and algorithm 1.
Shapes: B batch, A actions, Z atoms.
"""

import torch
from torch import Tensor


def project(
    next_probabilities: Tensor, reward: Tensor, discount: Tensor, support: Tensor
) -> Tensor:
    """Project the shifted distribution r + discount * z back onto the support.

    Each shifted atom shares its mass between the two atoms beside it, equation 7; what lies beyond
    the ends goes to the ends. Sums over all pairs of atoms replace the paper's additions in place,
    whose order, and so whose rounding, is left to chance on a GPU.

    Args:
        next_probabilities: Target network's distribution of the chosen action, `(B, Z)`, rows sum
            to 1.
        reward: n-step return, clipped reward units, `(B,)`.
        discount: gamma ** n, 0 where the episode terminated, `(B,)`.
        support: Evenly spaced, rising atoms, `(Z,)`, at least 2.

    Returns:
        Target distribution, `(B, Z)`, float32, rows sum to 1.
    """
    last = len(support) - 1
    spacing = (support[-1] - support[0]) / last
    shifted = reward[:, None] + discount[:, None] * support  # (B, Z)
    place = ((shifted - support[0]) / spacing).clamp(0, last)  # in atoms from the lowest
    atoms = torch.arange(len(support), device=support.device)
    share = (1 - (place[:, None, :] - atoms[:, None]).abs()).clamp(min=0)  # (B, Z, next Z)
    return (share * next_probabilities.float()[:, None, :]).sum(2)


def expected_values(logits: Tensor, support: Tensor) -> Tensor:
    """Return the expected return of each action, `(B, A)`, float32.

    Args:
        logits: Unnormalised logarithms of the probabilities, `(B, A, Z)`.
        support: Atoms, `(Z,)`.
    """
    # Not a matrix product, which autocast would make in bfloat16.
    return (logits.float().softmax(2) * support).sum(2)


def cross_entropy(logits_of_action: Tensor, target: Tensor) -> Tensor:
    """Return how badly each distribution predicts its target, in nats, `(B,)`, float32.

    Args:
        logits_of_action: Online network's logits of the action that was taken, `(B, Z)`.
        target: Projected distribution, `(B, Z)`, rows sum to 1.
    """
    return -(target * logits_of_action.float().log_softmax(1)).sum(1)
