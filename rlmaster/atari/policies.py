"""Policies that nobody trained: at random, by a script that reads the console's memory, or both.

Shapes: N environments, K stacked frames, H and W pixels of a frame.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.environment import Step
from rlmaster.atari.ram import ram_variables
from rlmaster.errors import UsageError

Actions = NDArray[np.int64]
Ram = NDArray[np.uint8]

SKIPPED_AT_ONCE = 65_536
"""Choices that are drawn in one go where they are not needed; more would only take memory."""
PONG_AIM, PONG_REACH = 8, 9
"""Lines from `player_y` to the ball that are wanted, and how many more or less will do."""
BREAKOUT_AIM, BREAKOUT_REACH = 8, 3
"""Columns from `player_x` to the ball that are wanted, and how many more or less will do."""


class Policy(Protocol):
    """Whatever chooses actions."""

    @property
    def needs_ram(self) -> bool:
        """Whether it reads the consoles' memory, which only EmulatorEnvironments give."""
        ...

    def actions(self, step: Step, ram: Ram | None) -> Actions:
        """Choose one action per environment.

        Args:
            step: What N environments answered last.
            ram: Their consoles' memory, `(N, 128)`; None unless `needs_ram`.

        Returns:
            Numbers of actions, `(N,)`.
        """
        ...

    def skip(self, steps: int, num_environments: int) -> None:
        """Be where it would be after choosing so often for so many environments."""
        ...


class RandomPolicy:
    """Chooses uniformly among the actions, with a generator of its own."""

    needs_ram = False

    def __init__(self, *, num_actions: int, seed: int) -> None:
        """Start from a seed.

        Args:
            num_actions: Actions of the game under its protocol.
            seed: The run's seed.
        """
        self._num_actions = num_actions
        self._generator = np.random.default_rng(seed)

    def actions(self, step: Step, ram: Ram | None = None) -> Actions:
        """Choose one action per environment, `(N,)`, whatever is seen."""
        del ram
        return self._generator.integers(self._num_actions, size=len(step.reward))

    def skip(self, steps: int, num_environments: int) -> None:
        """Draw what so many choices would have drawn."""
        for rows in _in_parts(steps):
            self._generator.integers(self._num_actions, size=(rows, num_environments))


class ScriptedPolicy:
    """Follows the ball with the paddle, by what the console's memory says; it draws nothing.

    It plays Pong and Breakout, the games of `scripted_games`.
    """

    needs_ram = True

    def __init__(self, game: str, action_meanings: Sequence[str]) -> None:
        """Look up where the game keeps ball and paddle.

        Args:
            game: Name as ale-py spells it.
            action_meanings: Name of each action by its number, as the environments give it.

        Raises:
            UsageError: If there is no script for the game.
        """
        script = _SCRIPTS.get(game)
        if script is None:
            raise UsageError(
                f"there is no scripted policy for {game}, only for {' and '.join(scripted_games())}"
                "; choose one of these games, or the policy `random`"
            )
        self._script = script
        self._byte = ram_variables(game)
        self._number = {name: number for number, name in enumerate(action_meanings)}

    def actions(self, step: Step, ram: Ram | None) -> Actions:
        """Choose one action per environment, `(N,)`, by the memory alone."""
        del step
        if ram is None:
            raise ValueError("a scripted policy reads the memory: play EmulatorEnvironments")
        variables = {name: ram[:, byte].astype(np.int64) for name, byte in self._byte.items()}
        names = self._script(variables)
        return np.array([self._number[name] for name in names.tolist()], np.int64)

    def skip(self, steps: int, num_environments: int) -> None:
        """Do nothing, since every choice depends on the present memory alone."""


class WithRandomActions:
    """Another policy, some of whose actions are replaced by uniform ones."""

    def __init__(self, policy: Policy, share: float, *, num_actions: int, seed: int) -> None:
        """Start from a seed.

        Args:
            policy: Who chooses otherwise; it chooses at every step, so that it stays in step.
            share: Share of the actions that are replaced, 0 to 1.
            num_actions: Actions of the game under its protocol.
            seed: The run's seed; the draws are others than a RandomPolicy's of that seed.
        """
        self._policy = policy
        self._share = share
        self._num_actions = num_actions
        self._generator = np.random.default_rng([seed, 1])

    @property
    def needs_ram(self) -> bool:
        """Whether the other policy reads the consoles' memory."""
        return self._policy.needs_ram

    def actions(self, step: Step, ram: Ram | None) -> Actions:
        """Choose one action per environment, `(N,)`."""
        chosen = self._policy.actions(step, ram)
        draws = self._generator.random(len(chosen))
        # Below the share, a draw is uniform there, and so it also says which action.
        drawn = np.floor(draws / max(self._share, 1e-9) * self._num_actions)
        return np.where(draws < self._share, drawn, chosen).astype(np.int64)

    def skip(self, steps: int, num_environments: int) -> None:
        """Be where it would be after choosing so often, and the other policy too."""
        self._policy.skip(steps, num_environments)
        for rows in _in_parts(steps):
            self._generator.random((rows, num_environments))


def _in_parts(steps: int) -> Iterator[int]:
    for first in range(0, steps, SKIPPED_AT_ONCE):
        yield min(SKIPPED_AT_ONCE, steps - first)


# -------------------------------------------------------------------------------------- the scripts

Variables = Mapping[str, NDArray[np.int64]]
"""Variables of the consoles' memory by name, each `(N,)`."""


def _pong(variables: Variables) -> NDArray[np.str_]:
    """Keep the paddle at the ball's height; to the right is up."""
    below = variables["ball_y"] - variables["player_y"] - PONG_AIM
    return np.select([below < -PONG_REACH, below > PONG_REACH], ["RIGHT", "LEFT"], "NOOP")


def _breakout(variables: Variables) -> NDArray[np.str_]:
    """Keep the paddle under the ball, and serve where there is none."""
    right = variables["ball_x"] - variables["player_x"] - BREAKOUT_AIM
    in_play = variables["ball_y"] != 0
    return np.select(
        [~in_play, right > BREAKOUT_REACH, right < -BREAKOUT_REACH],
        ["FIRE", "RIGHT", "LEFT"],
        "NOOP",
    )


_SCRIPTS: Mapping[str, Callable[[Variables], NDArray[np.str_]]] = {
    "breakout": _breakout,
    "pong": _pong,
}


def scripted_games() -> tuple[str, ...]:
    """Return the games that a ScriptedPolicy plays."""
    return tuple(_SCRIPTS)
