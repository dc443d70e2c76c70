"""The actions since environments were last seeded: what a checkpoint needs to come back to them.

Shapes: N environments, T steps that are kept.
"""

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.environment import AtariEnvironments, Seedings, Step


class ActionLog:
    """Remembers what some environments play, as far back as the earliest of their seedings."""

    def __init__(self, environments: AtariEnvironments, longest_episode_steps: int) -> None:
        """Start with environments that have just been reset.

        Args:
            environments: Whose actions.
            longest_episode_steps: Steps after which an episode is over at the latest.
        """
        self._environments = environments
        # An environment is seeded at the first episode's end after so many steps.
        most = environments.reseed_after_steps + longest_episode_steps + 2
        self._actions: deque[NDArray[np.uint8]] = deque(maxlen=most)

    def add(self, actions: NDArray[np.int64]) -> None:
        """Remember what was just sent, `(N,)`."""
        self._actions.append(actions.astype(np.uint8))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what `restore` needs."""
        seedings = self._environments.seedings()
        needed = int(seedings.steps_since.max())
        kept = [self._actions[place] for place in range(-needed, 0)]
        width = self._environments.num_environments
        return {
            "actions": np.array(kept, np.uint8).reshape(needed, width),
            "steps_since_seeding": seedings.steps_since,
            "times_seeded_before": seedings.times_before,
        }

    def restore(self, state: dict[str, NDArray[Any]]) -> Step:
        """Bring environments that are as new to where others were, and return what they show."""
        self._actions.clear()
        self._actions.extend(state["actions"])
        seedings = Seedings(state["steps_since_seeding"], state["times_seeded_before"])
        return self._environments.come_back(seedings, state["actions"])
