"""Frame collection: a policy plays, and everything it sees goes into a store.

Shapes: N environments, K stacked frames, H and W pixels of a frame.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.environment import AtariEnvironments, Step
from rlmaster.experiment import RandomFrames

Actions = NDArray[np.int64]


class Policy(Protocol):
    """Whatever chooses actions."""

    def actions(self, observation: NDArray[np.uint8]) -> Actions:
        """Choose one action per environment, `(N,)`, for an observation `(N, K, H, W)`."""
        ...


class Store(Protocol):
    """Whatever keeps steps; `rlmaster.replay.frame_store.FrameStore` is one."""

    @property
    def capacity_rows(self) -> int:
        """Steps of each environment that there is room for."""
        ...

    @property
    def num_rows(self) -> int:
        """Steps of each environment that are kept."""
        ...

    def reserve(self, capacity_rows: int) -> None:
        """Make room for so many steps of each environment."""
        ...

    def append(self, step: Step, actions: Actions | None) -> None:
        """Keep what was seen and the actions chosen there; None ends the recording."""
        ...


class RandomPolicy:
    """Chooses uniformly among the actions, with a generator of its own."""

    def __init__(self, specification: RandomFrames, *, num_actions: int, seed: int) -> None:
        """Start from a seed.

        Args:
            specification: What it is built from; a random policy needs nothing of it.
            num_actions: Actions of the game under its protocol.
            seed: The run's seed.
        """
        del specification
        self._num_actions = num_actions
        self._generator = np.random.default_rng(seed)

    def actions(self, observation: NDArray[np.uint8]) -> Actions:
        """Choose one action per environment, `(N,)`, whatever is seen."""
        return self._generator.integers(self._num_actions, size=len(observation))


def collect(
    environments: AtariEnvironments,
    policy: Policy,
    store: Store,
    steps: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Play from a reset until so many agent steps are in the store; it grows as needed.

    A step whose action is ignored, because the episode was over, takes a row and is not counted.
    While the emulators play, the step before is stored.

    Args:
        environments: What is played.
        policy: Who plays.
        store: Where it is kept, one stream per environment.
        steps: Agent steps over all environments together; passed by less than one step of each.
        on_progress: Called at every step with the agent steps so far and `steps`.
    """
    step = environments.reset()
    # A sixteenth more for rows that are no steps, which is enough unless episodes are very short.
    store.reserve(store.num_rows + steps * 17 // 16 // environments.num_environments + 3)
    played = 0
    while played < steps:
        if store.num_rows + 1 == store.capacity_rows:
            store.reserve(store.capacity_rows * 5 // 4 + 1)
        actions = policy.actions(step.observation)
        environments.send(actions)
        store.append(step, actions)
        played += int(np.count_nonzero(~step.ended))
        if on_progress is not None:
            on_progress(played, steps)
        step = environments.recv()
    store.append(step, None)
