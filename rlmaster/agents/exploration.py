"""What changes over a run of an agent that learns, and the random actions among its greedy ones.

Shapes: N environments.
"""

import torch
from torch import Tensor

from rlmaster.agent_choices import LearningAgent


def exploration_share(step: int, agent: LearningAgent) -> float:
    """Return the share of random actions at an agent step, 0 to 1.

    All are random during the warm-up, after which the share moves in a straight line from
    `exploration_start` to `exploration_end`; Mnih et al. (2015), extended data table 1.
    """
    if step < agent.warm_up_steps:
        return 1.0
    done = _share_done(step - agent.warm_up_steps, agent.exploration_steps)
    return _between(agent.exploration_start, agent.exploration_end, done)


def importance_exponent(step: int, total_steps: int, agent: LearningAgent) -> float:
    """Return beta, the share of the correction for prioritised draws, 0 to 1.

    It rises in a straight line from the end of the warm-up to the end of the run, where it is 1;
    Schaul et al. (2016), section 3.4.

    Args:
        step: Agent steps so far.
        total_steps: Agent steps of the whole run.
        agent: Says where it starts.
    """
    done = _share_done(step - agent.warm_up_steps, total_steps - agent.warm_up_steps)
    return _between(agent.importance_exponent, 1.0, done)


def with_random_actions(
    greedy: Tensor, share: float, num_actions: int, generator: torch.Generator
) -> Tensor:
    """Replace each action, with the probability of `share`, by one drawn from all alike.

    What is drawn does not depend on the share or the actions, so that runs which differ in these
    alone go on drawing the same.

    Args:
        greedy: Actions, `(N,)`, int64; left as they are.
        share: Probability, 0 to 1.
        num_actions: Actions that the game offers.
        generator: What draws, on any device.
    """
    size, device = greedy.shape, generator.device
    chance = torch.rand(size, generator=generator, device=device)
    drawn = torch.randint(num_actions, size, generator=generator, device=device)
    return torch.where((chance < share).to(greedy.device), drawn.to(greedy.device), greedy)


def _share_done(steps: int, of_steps: int) -> float:
    """Return how much of a stretch is over, 0 to 1; one without length begins at its start."""
    return min(max(steps / max(of_steps, 1), 0.0), 1.0)


def _between(start: float, end: float, done: float) -> float:
    """Return what lies a share of the way from start to end; exactly these at 0 and 1."""
    return (1 - done) * start + done * end
