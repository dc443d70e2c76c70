"""Frames spread over a game's states: an archive of states by cell, and excursions from them.

A round is one excursion in each stream, from states drawn uniformly over the cells known before it;
the states that it meets are kept in the order of streams and rows. So what is played depends on the
seed alone, whatever the number of processes.

Shapes: N streams, T rows of a round, H and W pixels of a frame.
Source: Ecoffet et al. (2021), First return, then explore.
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from rlmaster.atari.cells import Cell
from rlmaster.atari.emulator import Emulator
from rlmaster.atari.environment import Step, environment_seed
from rlmaster.atari.excursions import (
    Excursion,
    PackedState,
    Play,
    Task,
    packed,
)
from rlmaster.atari.explorers import ExplorerHere, ExplorerProcess
from rlmaster.atari.policies import Actions, Ram
from rlmaster.durable_files import write_atomically

STARTS = 4
"""Starts of the game in an empty archive; no-ops may make them different."""


class Exploration(AbstractContextManager["Exploration"]):
    """The archive and who plays from it; use it in a `with` statement, which ends its processes.

    Attributes:
        rounds: Rounds that were played.
        states: The state in which each cell was last met, in the order in which they were found.
    """

    def __init__(
        self, play: Play, *, num_streams: int, max_cells: int, seed: int, num_processes: int = 1
    ) -> None:
        """Fill the archive with the starts of the game.

        Args:
            play: How excursions are played.
            num_streams: Excursions of a round, `num_environments` of the store.
            max_cells: Cells that are kept at most; further new ones are not.
            seed: The run's seed.
            num_processes: Processes that play; with 1, this one does. Changes no result.
        """
        self._play = play
        self._num_streams = num_streams
        self._max_cells = max_cells
        self._seed = seed
        self.rounds = 0
        self.states: dict[Cell, PackedState] = {}
        self._unsaved: dict[Cell, None] = {}
        self._saved_rounds = self._whole_rounds = -1
        self._bytes_since_whole = 0
        processes = min(num_processes, num_streams)
        kind = ExplorerHere if processes == 1 else ExplorerProcess
        self._explorers = [kind(play) for _ in range(processes)]
        self._shares = np.array_split(np.arange(num_streams), processes)
        self._add_starts()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the processes."""
        self.close()

    def close(self) -> None:
        """End the processes; nothing can be played any more."""
        for explorer in self._explorers:
            explorer.close()

    @property
    def rows_of_a_round(self) -> int:
        """Rows that a round adds to each stream, all of them complete."""
        return self._play.steps + 1

    def play_round(self) -> Iterator[tuple[Step, Actions, Ram]]:
        """Make one excursion in each stream, and return it row by row.

        Each excursion is an episode of its own, or several where the game ends on the way.

        Returns:
            What to append to a store, with only the newest frame in a step's observation,
            `(N, 1, H, W)`, and the consoles' memory, `(N, 128)`.
        """
        generator = np.random.default_rng([self._seed, 2, self.rounds])
        starts = generator.integers(len(self.states), size=self._num_streams).tolist()
        states = list(self.states.values())
        tasks = [
            Task(states[start], (self._seed, 3, self.rounds, stream))
            for stream, start in enumerate(starts)
        ]
        for explorer, share in zip(self._explorers, self._shares, strict=True):
            explorer.ask("excursions", [tasks[stream] for stream in share])
        answers: list[list[Excursion]] = [explorer.answer() for explorer in self._explorers]
        self._keep_met(answers)
        self.rounds += 1
        return _rows([excursion for answer in answers for excursion in answer])

    def _add_starts(self) -> None:
        emulator = Emulator(self._play.game, self._play.protocol, 0)
        for number in range(STARTS):
            emulator.seed(environment_seed(self._seed, number, 0))
            emulator.reset()
            cell = self._play.cell(emulator.frame())
            if len(self.states) < self._max_cells:
                self._keep({cell: packed(emulator.state())})

    def _keep_met(self, answers: Sequence[Sequence[Excursion]]) -> None:
        """Keep the state that each cell was last met in, by the order of streams.

        The newest rather than the first, so that excursions that all end in the cell where they
        began still get on, as through the seconds before a game begins.
        """
        last = {
            cell: (process, number)
            for process, excursions in enumerate(answers)
            for number, excursion in enumerate(excursions)
            for cell in excursion.cells
        }
        room = self._max_cells - len(self.states)
        new = [cell for cell in last if cell not in self.states]
        for cell in new[room:]:
            del last[cell]
        packed_states: dict[Cell, PackedState] = {}
        for process, explorer in enumerate(self._explorers):
            wanted = [(number, cell) for cell, (by, number) in last.items() if by == process]
            explorer.ask("states", wanted)
            answer = explorer.answer()
            packed_states |= dict(zip([cell for _, cell in wanted], answer, strict=True))
        self._keep({cell: packed_states[cell] for cell in last})

    def _keep(self, states: Mapping[Cell, PackedState]) -> None:
        self.states.update(states)
        self._unsaved.update(dict.fromkeys(states))

    # ------------------------------------------------------------------------------------ resuming

    def save(self, folder: Path) -> None:
        """Write the states that are new since the last save, in a file that is named for the round.

        Call it before the store seals the rows of the same rounds, so that there is an archive for
        whatever number of rows is sealed. Now and then all states are written, and by the next time
        what came before is removed: the files take a few times the space of the states.

        Args:
            folder: Where the files of earlier saves lie, if there were any.

        Raises:
            OSError: If it cannot be written.
        """
        if self._saved_rounds == self.rounds:
            return
        whole = self._bytes_since_whole > 2 * _size(self.states)
        cells = list(self.states if whole else self._unsaved)
        content = _content(
            -1 if whole else self._saved_rounds, {cell: self.states[cell] for cell in cells}
        )
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(_file(folder, self.rounds), content, durable=True)
        _remove(folder, lambda number: number < self._whole_rounds)
        if whole:
            self._whole_rounds, self._bytes_since_whole = self.rounds, 0
        self._bytes_since_whole += len(content)
        self._saved_rounds, self._unsaved = self.rounds, {}

    def restore(self, folder: Path, rounds: int) -> bool:
        """Be where the archive was saved after so many rounds; it then goes on as if never cut.

        Args:
            folder: Where `save` wrote; files of later rounds, whose frames were lost, are removed.
            rounds: Rounds whose rows the store has.

        Returns:
            Whether there was a whole archive of that round; if not, nothing has changed.
        """
        parts: dict[int, _Part] = {}
        wanted = rounds
        while wanted >= 0:
            part = _read(_file(folder, wanted), self._play)
            if part is None or part.since >= wanted:
                return False
            parts[wanted] = part
            wanted = part.since
        _remove(folder, lambda number: number > rounds)
        self.states = {}
        for part in reversed(parts.values()):
            self.states.update(part.states)
        self.rounds = self._saved_rounds = rounds
        self._whole_rounds = min(parts)
        self._bytes_since_whole = sum(_size(part.states) for part in parts.values())
        self._unsaved = {}
        return True


class _Part(NamedTuple):
    """What one save wrote."""

    since: int
    """Rounds at the save before, -1 for none."""
    states: dict[Cell, PackedState]


def _file(folder: Path, rounds: int) -> Path:
    return folder / f"archive-{rounds:09d}.npz"


def _remove(folder: Path, chosen: Callable[[int], bool]) -> None:
    """Remove the files of those rounds that are chosen."""
    for file in folder.glob("archive-*.npz"):
        if chosen(int(file.stem.removeprefix("archive-"))):
            file.unlink()


def _size(states: Mapping[Cell, PackedState]) -> int:
    return sum(len(state) for state in states.values())


def _content(since: int, states: Mapping[Cell, PackedState]) -> bytes:
    """Return what a save writes."""
    content = io.BytesIO()
    np.savez(
        content,
        since=np.array(since),
        cells=np.frombuffer(b"".join(states), np.uint8),
        lengths=np.array([len(state) for state in states.values()], np.int64),
        states=np.frombuffer(b"".join(states.values()), np.uint8),
    )
    return content.getvalue()


def _read(file: Path, play: Play) -> _Part | None:
    """Return what a save wrote; None where it is missing or damaged."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            since, content = int(arrays["since"]), arrays["states"].tobytes()
            cells, stops = arrays["cells"].tobytes(), np.cumsum(arrays["lengths"]).tolist()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    size = play.cell_rows * play.cell_columns
    starts = range(0, len(cells), size)
    return _Part(
        since,
        {
            cells[start : start + size]: content[first:stop]
            for start, (first, stop) in zip(starts, pairwise([0, *stops]), strict=True)
        },
    )


def _rows(excursions: Sequence[Excursion]) -> Iterator[tuple[Step, Actions, Ram]]:
    """Return one round's excursions row by row, as environments side by side would have played."""
    lives = np.stack([excursion.lives for excursion in excursions])
    starts = np.stack([excursion.episode_start for excursion in excursions])
    life_lost = np.zeros_like(starts)
    life_lost[:, 1:] = (lives[:, 1:] < lives[:, :-1]) & ~starts[:, 1:]
    for row in range(lives.shape[1]):
        step = Step(
            observation=np.stack([excursion.frames[row] for excursion in excursions])[:, None],
            reward=np.array([excursion.rewards[row] for excursion in excursions]),
            terminated=np.array([excursion.terminated[row] for excursion in excursions]),
            truncated=np.array([excursion.truncated[row] for excursion in excursions]),
            life_lost=life_lost[:, row],
            episode_start=starts[:, row],
            lives=lives[:, row],
            episode_frames=np.array([excursion.episode_frames[row] for excursion in excursions]),
        )
        actions = np.array([excursion.actions[row] for excursion in excursions])
        yield step, actions, np.stack([excursion.ram[row] for excursion in excursions])
