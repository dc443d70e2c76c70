"""One emulator by itself, for what the vector environment does not give: colours, RAM and states.

Shapes: H = 210 and W = 160 pixels of the console's screen (some games are taller).
"""

from dataclasses import dataclass

import ale_py
import numpy as np
from ale_py import roms
from numpy.typing import NDArray

from rlmaster.atari.no_ops import NoOps
from rlmaster.atari.protocols import Protocol
from rlmaster.atari.screen import shrink

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


@dataclass(frozen=True)
class EmulatorState:
    """A moment of the game, to go on from as often as wanted."""

    console: ale_py.ALEState
    """Everything of the console, and of the chance in it."""
    frames_played: int
    """Emulator frames since the episode's first observation."""
    grey: NDArray[np.uint8]
    """What `Emulator.grey` showed, `(H, W)`; the console draws no screen when it is restored."""
    before_last: NDArray[np.uint8]
    """The grey screen of the frame before, `(H, W)`."""


class Emulator:
    """Plays what one of the AtariEnvironments plays, given its seed and its actions."""

    def __init__(self, game: str, protocol: Protocol, seed: int) -> None:
        """Load the game; `reset` must come before the first action.

        Args:
            game: ROM name as ale-py spells it, such as `ms_pacman`.
            protocol: How it is played.
            seed: The emulator's own seed, 0 to 2**31 - 1, as `environment_seed` derives it.
        """
        self._protocol = protocol
        self._rom = str(roms.get_rom_path(game))
        self._ale = ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", protocol.repeat_action_probability)
        self.seed(seed)
        self._actions: list[ale_py.Action] = (
            self._ale.getLegalActionSet()
            if protocol.full_action_space
            else self._ale.getMinimalActionSet()
        )
        self._frames_played = 0
        self._pooled = self._before_last = self._ale.getScreenGrayscale()

    def seed(self, seed: int) -> None:
        """Take all chance from a seed, from the next reset on."""
        self._ale.setInt("random_seed", seed)
        self._ale.loadROM(self._rom)
        self._no_ops = NoOps(self._protocol.max_noop_frames, seed)

    def reset(self) -> None:
        """Start an episode as the environment does, with its no-ops."""
        self._ale.reset_game()
        no_ops = self._no_ops.draw()
        if self._protocol.fire_at_reset and ale_py.Action.FIRE in self._actions:
            # ale-py presses FIRE before the no-ops; OpenAI Baselines did so after them.
            self._ale.act(ale_py.Action.FIRE)
            no_ops -= 1
        for _ in range(no_ops):
            self._ale.act(ale_py.Action.NOOP)
            if self._ale.game_over():
                self._ale.reset_game()
        self._frames_played = 0
        self._pooled = self._before_last = self._ale.getScreenGrayscale()

    def act(self, action: int) -> float:
        """Hold an action for the protocol's frames and return the change of the score.

        The grey screen is refreshed in ale-py's own order: when the episode ends, it leaves the
        step before it looks at the screen. An episode's last frame thus shows the step before.
        """
        reward = 0.0
        for frames_left in reversed(range(self._protocol.frame_skip)):
            reward += self._ale.act(self._actions[action])
            self._frames_played += 1
            if self.terminated or self.truncated:
                break
            if frames_left == 1:
                self._before_last = self._ale.getScreenGrayscale()
            elif frames_left == 0:
                self._pooled = self._ale.getScreenGrayscale()
        if self._protocol.maxpool:
            self._pooled = np.maximum(self._pooled, self._before_last)
        return reward

    # -------------------------------------------------------------------------------- what there is

    @property
    def action_meanings(self) -> tuple[str, ...]:
        """Name of each action by its number, such as `NOOP` or `UPFIRE`."""
        return tuple(action.name for action in self._actions)

    @property
    def terminated(self) -> bool:
        """Whether the game is over."""
        return self._ale.game_over()

    @property
    def truncated(self) -> bool:
        """Whether the episode is cut here for its length."""
        return self._frames_played >= self._protocol.max_episode_frames and not self.terminated

    @property
    def lives(self) -> int:
        """Lives left; 0 throughout in games without lives."""
        return self._ale.lives()

    @property
    def episode_frames(self) -> int:
        """Emulator frames since the game's reset, those of no-ops and FIRE too."""
        return self._ale.getEpisodeFrameNumber()

    def screen(self) -> NDArray[np.uint8]:
        """Return the present screen in colour, `(H, W, 3)`."""
        return self._ale.getScreenRGB()

    def grey(self) -> NDArray[np.uint8]:
        """Return the grey screen that the environment shrinks to its frame, `(H, W)`."""
        return self._pooled

    def frame(self) -> NDArray[np.uint8]:
        """Return what the environment shows, a square of `Protocol.screen_size_pixels`."""
        size = self._protocol.screen_size_pixels
        return shrink(self._pooled, size, size)

    def ram(self) -> NDArray[np.uint8]:
        """Return the console's memory, `(128,)`."""
        return self._ale.getRAM()

    # --------------------------------------------------------------------------------------- states

    def state(self) -> EmulatorState:
        """Return where the game is, and what chance holds for it."""
        return EmulatorState(
            self._ale.cloneState(include_rng=True),
            self._frames_played,
            self._pooled,
            self._before_last,
        )

    def restore(self, state: EmulatorState, no_ops_seed: int) -> None:
        """Be where a state was taken, as if no action had been held before it.

        Args:
            state: From any emulator of the same game and protocol.
            no_ops_seed: Seed of the no-ops of the episodes that start after this one.
        """
        # The action that a sticky emulator may repeat is not in the console's state; this drops it.
        self._ale.reset_game()
        self._ale.restoreState(state.console)
        self._frames_played = state.frames_played
        self._pooled, self._before_last = state.grey, state.before_last
        self._no_ops = NoOps(self._protocol.max_noop_frames, no_ops_seed)
