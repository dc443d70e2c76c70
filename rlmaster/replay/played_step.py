"""What a replay is told: one step of all environments.

Shapes: E environments, K stacked frames, H and W pixels of a frame.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class PlayedStep(Protocol):
    """What the store needs of a step of E environments; the Step of `rlmaster.atari` is one."""

    @property
    def observation(self) -> NDArray[np.uint8]:
        """Stacked frames, `(E, K, H, W)`, the newest last."""
        ...

    @property
    def reward(self) -> NDArray[np.float32]:
        """Unclipped reward of the action before, `(E,)`."""
        ...

    @property
    def terminated(self) -> NDArray[np.bool_]:
        """The game is over, `(E,)`."""
        ...

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """The episode was cut, `(E,)`."""
        ...

    @property
    def life_lost(self) -> NDArray[np.bool_]:
        """A life was lost, `(E,)`."""
        ...

    @property
    def episode_start(self) -> NDArray[np.bool_]:
        """The observation is an episode's first, `(E,)`."""
        ...
