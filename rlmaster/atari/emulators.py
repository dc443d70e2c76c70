"""Games side by side in emulators of their own, which also give the console's memory.

Shapes: N environments, K stacked frames (oldest first), H and W pixels of a frame.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.emulator import Emulator
from rlmaster.atari.environment import Answer, AtariEnvironments


class EmulatorEnvironments(AtariEnvironments):
    """What AtariEnvironments of the same arguments play, frame by frame, and the memory behind it.

    For policies that read the memory and for its labels. It emulates in this thread, since ale-py
    keeps Python's lock while an emulator plays: about two thirds as fast as AtariEnvironments on
    two cores. `num_threads` is without meaning here.
    """

    _vector: "_Emulators"

    def ram(self) -> NDArray[np.uint8]:
        """Return the memory of each console, `(N, 128)`, as it is after the newest step.

        At an episode's last observation it is one step ahead of the frame; see `Emulator.act`.
        """
        return np.stack([emulator.ram() for emulator in self._vector.emulators])

    @property
    def action_meanings(self) -> tuple[str, ...]:
        """Name of each action by its number, such as `NOOP` or `UPFIRE`."""
        return self._vector.emulators[0].action_meanings

    def _load(self, game: str, num_threads: int) -> "_Emulators":
        del num_threads
        emulators = [Emulator(game, self.protocol, 0) for _ in range(self.num_environments)]
        return _Emulators(emulators, self.protocol.stacked_frames)


class _Emulators:
    """Emulators that answer as AtariVectorEnv does."""

    def __init__(self, emulators: list[Emulator], stacked_frames: int) -> None:
        self.emulators = emulators
        self._ended = np.zeros(len(emulators), np.bool_)
        shape = emulators[0].frame().shape
        self._stacks = np.zeros((len(emulators), stacked_frames, *shape), np.uint8)
        self._actions = np.zeros(len(emulators), np.int64)

    def reset(
        self, *, seed: NDArray[np.int64], options: dict[str, Any]
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Seed those environments that a mask names and start an episode in each."""
        chosen = np.flatnonzero(options["reset_mask"]).tolist()
        for index, own_seed in zip(chosen, seed.tolist(), strict=True):
            self.emulators[index].seed(own_seed)
            self._start(index)
        return self._stacks.copy(), self._information()

    def send(self, actions: NDArray[np.int64]) -> None:
        """Take the actions of the next step."""
        self._actions = actions

    def recv(self) -> Answer:
        """Play the step."""
        reward = np.zeros(len(self.emulators))
        for index, action in enumerate(self._actions.tolist()):
            if self._ended[index]:
                self._start(index)
            else:
                reward[index] = self.emulators[index].act(action)
                self._push(index)
        terminated = np.array([emulator.terminated for emulator in self.emulators])
        truncated = np.array([emulator.truncated for emulator in self.emulators])
        self._ended = terminated | truncated
        return self._stacks.copy(), reward, terminated, truncated, self._information()

    def _start(self, index: int) -> None:
        self.emulators[index].reset()
        self._ended[index] = False
        self._stacks[index] = 0
        self._push(index)

    def _push(self, index: int) -> None:
        stack = self._stacks[index]
        stack[:-1] = stack[1:]
        stack[-1] = self.emulators[index].frame()

    def _information(self) -> dict[str, Any]:
        return {
            "lives": np.array([emulator.lives for emulator in self.emulators], np.int32),
            "episode_frame_number": np.array(
                [emulator.episode_frames for emulator in self.emulators], np.int32
            ),
        }
