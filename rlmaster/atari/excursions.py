"""Excursions: play at random from given states, and remember the states that are met.

Shapes: T rows of an excursion, H and W pixels of a frame.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from ale_py import ALEState
from numpy.typing import NDArray

from rlmaster.atari.cells import Cell, cells_of
from rlmaster.atari.emulator import Emulator, EmulatorState
from rlmaster.atari.protocols import Protocol

PackedState = bytes
"""A compressed EmulatorState: numbers and no pickle, since archives are read again."""
_PACKED_HEAD = struct.Struct("<QII")
"""Frames played, and height and width of the two grey screens that follow before the console."""


@dataclass(frozen=True)
class Play:
    """How excursions are played, and how finely states are told apart."""

    game: str
    """Name as ale-py spells it."""
    protocol: Protocol
    """How the game is played and seen."""
    steps: int
    """Agent steps of an excursion."""
    cell_rows: int
    """Height of the coarse frame, in pixels."""
    cell_columns: int
    """Width of the coarse frame, in pixels."""
    cell_levels: int
    """Grey levels of the coarse frame, 2 to 256."""

    def cell(self, frame: NDArray[np.uint8]) -> Cell:
        """Return the cell of a frame, `(H, W)`."""
        return cells_of(frame[None], self.cell_rows, self.cell_columns, self.cell_levels)[0]


class Task(NamedTuple):
    """One excursion to make."""

    start: PackedState
    """Where it starts."""
    seed: tuple[int, ...]
    """Seed of its actions, and of the no-ops where it starts a new game."""


@dataclass
class Excursion:
    """What was seen and done on one excursion, `steps` + 1 rows, the last without an action.

    Where the game ends on the way, the next row is the first of a new game; where that is the last
    row, it is an episode of a single frame.
    """

    frames: NDArray[np.uint8]
    """Grey levels, `(T, H, W)`."""
    actions: NDArray[np.int64]
    """Action chosen after each row, `(T,)`; without meaning where the episode was over."""
    rewards: NDArray[np.float32]
    """Unclipped reward of the action before each row, `(T,)`."""
    terminated: NDArray[np.bool_]
    """The game is over, `(T,)`."""
    truncated: NDArray[np.bool_]
    """The episode is cut here, at the latest in the last row, `(T,)`."""
    episode_start: NDArray[np.bool_]
    """An episode starts here, `(T,)`."""
    lives: NDArray[np.int32]
    """Lives left, `(T,)`."""
    episode_frames: NDArray[np.int32]
    """Emulator frames since the game's reset, `(T,)`."""
    ram: NDArray[np.uint8]
    """The console's memory, `(T, 128)`; at an episode's end it is as `Emulator.act` says."""
    cells: list[Cell] = field(default_factory=list)
    """Cells that were met where the game went on, in the order of first meeting."""


class Explorer:
    """Makes excursions, one at a time, and remembers the states that the newest of them met."""

    def __init__(self, play: Play) -> None:
        """Load the game."""
        self._play = play
        self._emulator = Emulator(play.game, play.protocol, 0)
        self._met: list[dict[Cell, EmulatorState]] = []

    def excursions(self, tasks: Sequence[Task]) -> list[Excursion]:
        """Make some excursions; the states that were met before are forgotten."""
        self._met = []
        return [self._excursion(task) for task in tasks]

    def states(self, wanted: Sequence[tuple[int, Cell]]) -> list[PackedState]:
        """Return states that the newest excursions met, by excursion and cell."""
        return [packed(self._met[excursion][cell]) for excursion, cell in wanted]

    def _excursion(self, task: Task) -> Excursion:
        play, emulator = self._play, self._emulator
        generator = np.random.default_rng(task.seed)
        emulator.restore(unpacked(task.start), int(generator.integers(2**31)))
        excursion = _nothing_seen(play)
        excursion.actions[:] = generator.integers(
            len(emulator.action_meanings), size=play.steps + 1
        )
        self._met.append({})
        self._look(excursion, 0, 0.0, starts=True)
        for row in range(1, play.steps + 1):
            over = bool(excursion.terminated[row - 1] or excursion.truncated[row - 1])
            if over:
                emulator.reset()
                reward = 0.0
            else:
                reward = emulator.act(int(excursion.actions[row - 1]))
            self._look(excursion, row, reward, starts=over)
        excursion.truncated[-1] = not excursion.terminated[-1]
        excursion.cells = list(self._met[-1])
        return excursion

    def _look(self, excursion: Excursion, row: int, reward: float, *, starts: bool) -> None:
        """Write down what there is to see, and remember the newest state of each cell."""
        emulator = self._emulator
        excursion.frames[row] = emulator.frame()
        excursion.rewards[row] = reward
        excursion.terminated[row] = emulator.terminated
        excursion.truncated[row] = emulator.truncated
        excursion.episode_start[row] = starts
        excursion.lives[row] = emulator.lives
        excursion.episode_frames[row] = emulator.episode_frames
        excursion.ram[row] = emulator.ram()
        if emulator.terminated or emulator.truncated:
            return
        cell = self._play.cell(excursion.frames[row])
        self._met[-1][cell] = emulator.state()


def _nothing_seen(play: Play) -> Excursion:
    rows, size = play.steps + 1, play.protocol.screen_size_pixels
    return Excursion(
        frames=np.empty((rows, size, size), np.uint8),
        actions=np.empty(rows, np.int64),
        rewards=np.empty(rows, np.float32),
        terminated=np.empty(rows, np.bool_),
        truncated=np.empty(rows, np.bool_),
        episode_start=np.empty(rows, np.bool_),
        lives=np.empty(rows, np.int32),
        episode_frames=np.empty(rows, np.int32),
        ram=np.empty((rows, 128), np.uint8),
    )


def packed(state: EmulatorState) -> PackedState:
    """Return a state in as few bytes as is quick."""
    head = _PACKED_HEAD.pack(state.frames_played, *state.grey.shape)
    parts = (head, state.grey.tobytes(), state.before_last.tobytes(), state.console.serialize())
    return zlib.compress(b"".join(parts), level=1)


def unpacked(content: PackedState) -> EmulatorState:
    """Return the state that `packed` packed."""
    plain = zlib.decompress(content)
    frames_played, height, width = _PACKED_HEAD.unpack_from(plain)
    screens_end = _PACKED_HEAD.size + 2 * height * width
    screens = np.frombuffer(plain[_PACKED_HEAD.size : screens_end], np.uint8)
    grey, before_last = screens.reshape(2, height, width)
    return EmulatorState(ALEState(plain[screens_end:]), frames_played, grey, before_last)
