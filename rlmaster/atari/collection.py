"""Frame collection: a policy plays, and everything it sees goes into a store.

Shapes: N environments, K stacked frames, H and W pixels of a frame.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.emulators import EmulatorEnvironments
from rlmaster.atari.environment import AtariEnvironments, Step
from rlmaster.atari.exploration import Exploration
from rlmaster.atari.policies import Actions, Policy, Ram

OnProgress = Callable[[int, int], None]
"""Called with how much is done and how much there is to do."""


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

    @property
    def num_steps(self) -> int:
        """Agent steps that are kept, over all environments together."""
        ...

    @property
    def actions(self) -> NDArray[Any]:
        """Action chosen after each step, `(capacity_rows, N)`, or a negative number."""
        ...

    @property
    def episode_start(self) -> NDArray[np.bool_]:
        """Where a step began an episode, `(capacity_rows, N)`."""
        ...

    def frames_of_row(self, row: int) -> NDArray[np.uint8]:
        """Return the newest frame of each environment at a step, `(N, H, W)`."""
        ...

    def reserve(self, capacity_rows: int) -> None:
        """Make room for so many steps of each environment."""
        ...

    def append(self, step: Step, actions: Actions | None) -> None:
        """Keep what was seen and the actions chosen there; None ends the recording."""
        ...


def rows_for(steps: int, num_environments: int) -> int:
    """Return how many steps of each environment to make room for.

    A sixteenth more for rows that are no steps, which is enough unless episodes are very short.
    """
    return steps * 17 // 16 // num_environments + 3


def is_collected(store: Store, steps: int) -> bool:
    """Tell whether a store holds all that `collect` keeps: the steps, and one row after them."""
    if store.num_rows == 0:
        return False
    in_newest_row = int(np.count_nonzero(store.actions[store.num_rows - 1] >= 0))
    return store.num_steps - in_newest_row >= steps


def play_again(
    environments: AtariEnvironments,
    policy: Policy,
    store: Store,
    on_progress: OnProgress | None = None,
) -> Step | None:
    """Bring environments and policy to where the rows of a store end, all of them complete.

    Args:
        environments: What is played, made as it was when the store was filled.
        policy: Who plays, made as it was then.
        store: What was seen and done since the first reset.
        on_progress: Called at every step with the row that is played again, and their number.

    Returns:
        What the environments answer to the last actions; None where this emulator shows other
        frames than the stored ones.
    """
    kept = slice(0, store.num_rows)
    step: Step | None = None
    for row, there, step in environments.replay(store.episode_start[kept], store.actions[kept]):
        if row < store.num_rows:
            shown, stored = step.observation[:, -1], store.frames_of_row(row)
            if not np.array_equal(shown[there], stored[there]):
                return None
        if on_progress is not None:
            on_progress(row, store.num_rows)
    policy.skip(store.num_rows, environments.num_environments)
    return step


def collect(
    environments: AtariEnvironments,
    policy: Policy,
    store: Store,
    steps: int,
    on_progress: OnProgress | None = None,
    after: Step | None = None,
) -> None:
    """Play until so many agent steps are in the store; it grows as needed.

    A step whose action is ignored, because the episode was over, takes a row and is not counted.
    While the emulators play, the step before is stored.

    Args:
        environments: What is played; EmulatorEnvironments where the policy reads the memory.
        policy: Who plays.
        store: Where it is kept, one stream per environment.
        steps: Agent steps over all environments together; passed by less than one step of each.
        on_progress: Called at every step with the agent steps so far and `steps`.
        after: What followed the rows that the store has, from `play_again`; by default the
            environments are reset.
    """
    step = environments.reset() if after is None else after
    store.reserve(rows_for(steps, environments.num_environments))
    played = store.num_steps
    while played < steps:
        if store.num_rows + 1 >= store.capacity_rows:
            store.reserve(store.capacity_rows * 5 // 4 + 1)
        actions = policy.actions(step, _ram(environments, policy))
        environments.send(actions)
        store.append(step, actions)
        played += int(np.count_nonzero(~step.ended))
        if on_progress is not None:
            on_progress(played, steps)
        step = environments.recv()
    store.append(step, None)


def explore(
    exploration: Exploration,
    store: Store,
    steps: int,
    on_progress: OnProgress | None = None,
    on_round: Callable[[], None] | None = None,
) -> None:
    """Play rounds until so many agent steps are in the store; it grows as needed.

    A run that was cut restores the exploration to as many rounds as its store has rows of, and
    calls this again.

    Args:
        exploration: Who plays, after as many rounds as the store has.
        store: Where it is kept, one stream per excursion of a round.
        steps: Agent steps over all streams together; passed by less than one round.
        on_progress: Called at every row with the agent steps so far and `steps`.
        on_round: Called after each round, when all rows of the store are complete, so that they and
            the exploration can be saved.
    """
    played = store.num_steps
    while played < steps:
        store.reserve(store.num_rows + exploration.rows_of_a_round)
        for step, actions, _ in exploration.play_round():
            store.append(step, actions)
            played += int(np.count_nonzero(~step.ended))
            if on_progress is not None:
                on_progress(played, steps)
        if on_round is not None:
            on_round()


def _ram(environments: AtariEnvironments, policy: Policy) -> Ram | None:
    """Return the consoles' memory where the policy reads it."""
    if not policy.needs_ram:
        return None
    if not isinstance(environments, EmulatorEnvironments):
        raise TypeError("this policy reads the consoles' memory: let it play EmulatorEnvironments")
    return environments.ram()
