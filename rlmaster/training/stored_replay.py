"""A run's replay on disk, episode by episode, for whoever needs the frames of one of them only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rlmaster.atari.ball import Ball, BallBoxes, games_with_ball
from rlmaster.atari.labels import label_environment
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.errors import RunFolderError, UsageError
from rlmaster.experiment import Experiment
from rlmaster.frame_sources import AgentFrames, PlayedFrames, RandomFrames
from rlmaster.replay.chunk_files import ChunkFolder, Rows
from rlmaster.replay.frame_store import NO_ACTION, ROW_ARRAYS, Episode, FrameStore
from rlmaster.room import FRAME_SHAPE
from rlmaster.run_folder import RunFolder
from rlmaster.training.seeds import seeds_from

OnProgress = Callable[[str, int, int, str], None]
"""Told what is being done, how much of it is done and how much there is, and what counts it."""


@dataclass(frozen=True)
class NumberedEpisode:
    """An episode of the replay as people name it."""

    number: int
    """Counts from 1, by when the episode began, so that more frames change no number."""
    episode: Episode
    held_out: bool | None
    """Whether it is never trained on; None while frames are still collected."""

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "number": self.number,
            "environment": self.episode.environment,
            "frames": len(self.episode),
            "held_out": self.held_out,
            "ended": self.episode.ended,
        }

    def __str__(self) -> str:
        use = {None: "not yet assigned", True: "held out", False: "trained on"}[self.held_out]
        end = "" if self.episode.ended else ", not played to its end"
        return f"episode {self.number}, {len(self.episode):,} frames, {use}{end}"


class StoredReplay:
    """A run's replay on disk: all its episodes, and the rows of the one that is asked for."""

    def __init__(self, run: RunFolder, experiment: Experiment, on_progress: OnProgress) -> None:
        """Read where episodes begin and end in what is sealed by now, and keep no frame.

        Raises:
            RunFolderError: If there is no replay, or a chunk is missing or damaged.
            UsageError: If its frames are of another size than embedders look at.
        """
        self._chunks = ChunkFolder.open(run.replay)
        if self._chunks.frame_shape != FRAME_SHAPE:
            height, width = self._chunks.frame_shape
            raise UsageError(
                f"the frames of run {run.short_id} are of {height}x{width} pixels, and its "
                f"networks look at {FRAME_SHAPE[0]}x{FRAME_SHAPE[1]}; there is nothing to draw"
            )
        # Without pixels it takes a hundredth of the memory that training needs.
        store = FrameStore(
            self._chunks.num_environments,
            capacity_rows=self._chunks.num_rows,
            frame_shape=(0, 0),
        )

        def keep(first_row: int, rows: Rows) -> None:
            for name in ROW_ARRAYS:
                getattr(store, name)[first_row : first_row + len(rows[name])] = rows[name]

        self._chunks.read(keep, lambda done, total: on_progress("reading", done, total, "rows"))
        store.num_rows = self._chunks.num_rows
        self._rows = store
        self._experiment = experiment
        self.episodes = _numbered(store, experiment)

    def choose(self, number: int | None) -> NumberedEpisode:
        """Return an episode by its number, by default the longest one that tells most.

        That is a held-out one that was played to its end, as far as there is one.

        Raises:
            UsageError: If there is no episode of that number.
            RunFolderError: If there is none at all.
        """
        if not self.episodes:
            raise RunFolderError(f"{self._chunks.path} holds no frames yet; try again in a while")
        if number is None:
            return max(
                self.episodes, key=lambda e: (e.held_out is True, e.episode.ended, len(e.episode))
            )
        if not 1 <= number <= len(self.episodes):
            raise UsageError(
                f"there is no episode {number}: the replay holds {len(self.episodes):,}, counted "
                "from 1; --list shows them"
            )
        return self.episodes[number - 1]

    def store(self, episode: Episode, device: torch.device | str = "cpu") -> FrameStore:
        """Return a store of that episode alone, from its first row on.

        Raises:
            RunFolderError: If a chunk is missing or damaged.
        """
        chunks, environment = self._chunks, episode.environment
        shape = chunks.frame_shape
        store = FrameStore(1, capacity_rows=len(episode), frame_shape=shape, device=device)

        def keep(first_row: int, rows: Rows) -> None:
            first = max(first_row, episode.first_row)
            chosen = slice(first - first_row, episode.stop_row - first_row)
            own = {
                name: values[chosen, environment : environment + 1] for name, values in rows.items()
            }
            store.keep_rows(first - episode.first_row, own)

        needed = [
            chunk
            for chunk in chunks.chunks
            if chunk.first_row < episode.stop_row and chunk.stop_row > episode.first_row
        ]
        ChunkFolder(chunks.path, chunks.num_environments, shape, needed).read(keep)
        store.num_rows = len(episode)
        return store

    def balls(
        self, episode: Episode, store: FrameStore, on_progress: OnProgress
    ) -> BallBoxes | None:
        """Return where the ball is in each frame of an episode, by playing it again.

        Args:
            episode: Which.
            store: The episode alone, as `store` returned it.
            on_progress: Told how far it is.

        Returns:
            None where nobody knows: of other games, and of frames that were not played from a start
            of the game to its end.

        Raises:
            TrainingError: If this emulator shows other frames.
        """
        atari, source = self._experiment.environment, self._experiment.frames
        is_played = isinstance(source, RandomFrames | AgentFrames)
        if atari.game not in games_with_ball() or not is_played:
            return None
        played = slice(0, episode.stop_row)
        ram = label_environment(
            atari.game,
            PROTOCOLS[atari.protocol],
            self._experiment.seed,
            episode.environment,
            self._rows.episode_start[played],
            self._rows.actions[played],
            store.frames[: store.num_rows, 0].cpu().numpy(),
            lambda done, total: on_progress("looking for the ball", done, total, "rows"),
        )
        found = Ball(atari.game).boxes(ram)
        is_known = np.arange(len(ram)) < len(ram) - episode.ended  # at the end, it is a step ahead
        return found._replace(visible=found.visible & is_known)


def _numbered(store: FrameStore, experiment: Experiment) -> list[NumberedEpisode]:
    """Return all episodes by when they began, and what training does with each."""
    episodes = sorted(store.episodes(), key=lambda e: (e.first_row, e.environment))
    held_out = _held_out(store, experiment)
    return [
        NumberedEpisode(number, episode, None if held_out is None else episode in held_out)
        for number, episode in enumerate(episodes, start=1)
    ]


def _held_out(store: FrameStore, experiment: Experiment) -> list[Episode] | None:
    """Return the held-out episodes, or None while there are not all frames to choose them from."""
    source = experiment.frames
    if isinstance(source, PlayedFrames):
        recorded = store.num_rows > 0 and (store.actions[store.num_rows - 1] == NO_ACTION).all()
        if not recorded or store.num_steps < source.steps:
            return None
    return store.split_episodes(source.held_out_share, seeds_from(experiment.seed).split)[1]
