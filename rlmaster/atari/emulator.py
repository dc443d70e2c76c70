"""One emulator by itself, for what the vectorised environment does not give: colours and RAM.

Shapes: H = 210 and W = 160 pixels of the console's screen (some games are taller).
"""

import ale_py
import numpy as np
from ale_py import roms
from numpy.typing import NDArray

from rlmaster.atari.protocols import Protocol


class Emulator:
    """Plays what one of the AtariEnvironments plays, given its seed, its no-ops and its actions."""

    def __init__(self, game: str, protocol: Protocol, seed: int) -> None:
        """Load the game; `reset` must come before the first action.

        Args:
            game: ROM name as ale-py spells it, such as `ms_pacman`.
            protocol: How it is played.
            seed: The emulator's own seed, 0 to 2**31 - 1, as `environment_seed` derives it.
        """
        self._protocol = protocol
        self._ale = ale_py.ALEInterface()
        self._ale.setInt("random_seed", seed)
        self._ale.setFloat("repeat_action_probability", protocol.repeat_action_probability)
        self._ale.loadROM(str(roms.get_rom_path(game)))
        self._actions = (
            self._ale.getLegalActionSet()
            if protocol.full_action_space
            else self._ale.getMinimalActionSet()
        )
        self._start_frames = 0
        self._pooled = self._before_last = self._ale.getScreenGrayscale()

    def reset(self, start_frames: int) -> None:
        """Start an episode as the environment does.

        Args:
            start_frames: Emulator frames that the environment played before its first observation,
                `Step.episode_frames` there.
        """
        self._ale.reset_game()
        fire = self._protocol.fire_at_reset and ale_py.Action.FIRE in self._actions
        for frame in range(start_frames):
            # ale-py presses FIRE before the no-ops; OpenAI Baselines did so after them.
            self._ale.act(ale_py.Action.FIRE if fire and frame == 0 else ale_py.Action.NOOP)
        self._start_frames = start_frames
        self._pooled = self._before_last = self._ale.getScreenGrayscale()

    def act(self, action: int) -> float:
        """Hold an action for the protocol's frames and return the change of the score.

        The grey screen is refreshed in ale-py's own order: when the episode ends, it leaves the
        step before it looks at the screen. An episode's last frame thus shows the step before.
        """
        reward = 0.0
        for frames_left in reversed(range(self._protocol.frame_skip)):
            reward += self._ale.act(self._actions[action])
            if self._episode_is_over():
                break
            if frames_left == 1:
                self._before_last = self._ale.getScreenGrayscale()
            elif frames_left == 0:
                self._pooled = self._ale.getScreenGrayscale()
        if self._protocol.maxpool:
            self._pooled = np.maximum(self._pooled, self._before_last)
        return reward

    def _episode_is_over(self) -> bool:
        frames = self._ale.getEpisodeFrameNumber() - self._start_frames
        return self._ale.game_over() or frames >= self._protocol.max_episode_frames

    def screen(self) -> NDArray[np.uint8]:
        """Return the present screen in colour, `(H, W, 3)`."""
        return self._ale.getScreenRGB()

    def grey(self) -> NDArray[np.uint8]:
        """Return the grey screen that the environment shrinks to its frame, `(H, W)`."""
        return self._pooled

    def ram(self) -> NDArray[np.uint8]:
        """Return the console's memory, `(128,)`."""
        return self._ale.getRAM()
