"""Collecting frames that are spread over a game's states, by an exploration that can be cut."""

import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rlmaster.atari.collection import explore
from rlmaster.atari.excursions import Play
from rlmaster.atari.exploration import Exploration
from rlmaster.atari.labels import label_explored
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.atari.ram import games_with_ram
from rlmaster.frame_sources import UniformStateFrames
from rlmaster.replay.chunk_files import rows_of_a_chunk
from rlmaster.replay.frame_store import FrameStore
from rlmaster.training.collecting import Advance, Collector, Seal

ARCHIVE = "archive"
"""Folder beside the chunks where an exploration keeps its states until all frames are there."""


class UniformStates(Collector[UniformStateFrames]):
    """Collects UniformStateFrames, a stream for each of the experiment's environments."""

    compares_frames = False

    _exploration: Exploration | None = None

    @property
    def steps(self) -> int:
        """Agent steps, over all streams together."""
        return self.source.steps

    @property
    def capacity_rows(self) -> int:
        """Rows of each stream to make room for, with a sixteenth more for games that end."""
        steps_of_a_round = self.source.excursion_steps * self.atari.num_environments
        rounds = -(-self.steps * 17 // 16 // steps_of_a_round) + 1
        return rounds * self._rows_of_a_round

    @property
    def _rows_of_a_round(self) -> int:
        return self.source.excursion_steps + 1

    @property
    def _archive(self) -> Path:
        return self.folder / ARCHIVE

    def is_whole(self, store: FrameStore) -> bool:
        """Tell whether a store holds the steps, in whole rounds."""
        return store.num_steps >= self.steps and store.num_rows % self._rows_of_a_round == 0

    def start(self) -> None:
        """Explore from the starts of the game."""
        self.close()
        self._exploration = self._at_the_starts()

    def _at_the_starts(self) -> Exploration:
        """Return an exploration that knows nothing but the starts of the game."""
        source = self.source
        play = Play(
            self.atari.game,
            PROTOCOLS[self.atari.protocol],
            steps=source.excursion_steps,
            cell_rows=source.cell_rows,
            cell_columns=source.cell_columns,
            cell_levels=source.cell_levels,
        )
        return Exploration(
            play,
            num_streams=self.atari.num_environments,
            max_cells=source.max_cells,
            seed=self.seed,
            num_processes=torch.get_num_threads(),
        )

    def play_again(self, store: FrameStore, advance: Advance) -> bool:
        """Restore the archive that was kept when the last of the stored rows was sealed."""
        assert self._exploration is not None
        rounds, rest = divmod(store.num_rows, self._rows_of_a_round)
        return rest == 0 and self._exploration.restore(self._archive, rounds)

    def play(self, store: FrameStore, advance: Advance, seal: Seal) -> None:
        """Explore on, and seal about a chunk of whole rounds at a time, with the archive."""
        exploration = self._exploration
        assert exploration is not None
        chunk_rows = rows_of_a_chunk(store.num_environments)
        sealed_together = max(1, chunk_rows // self._rows_of_a_round)

        def on_round() -> None:
            if exploration.rounds % sealed_together == 0:
                exploration.save(self._archive)  # first, so that no sealed row lacks its archive
                seal(store.num_rows)

        explore(exploration, store, self.steps, lambda steps, _total: advance(steps), on_round)

    def label(self, store: FrameStore, num_rows: int, advance: Advance) -> NDArray[np.uint8] | None:
        """Explore the first rows again, with the consoles' memory, `(T, N, 128)`."""
        if self.atari.game not in games_with_ram():
            return None
        with self._at_the_starts() as exploration:
            return label_explored(
                exploration,
                store.episode_start[:num_rows],
                store.frames_of_row,
                lambda row, _total: advance(row),
            )

    def close(self) -> None:
        """End the processes."""
        if self._exploration is not None:
            self._exploration.__exit__(None, None, None)
            self._exploration = None

    def clear(self) -> None:
        """Remove the archive."""
        shutil.rmtree(self._archive, ignore_errors=True)
